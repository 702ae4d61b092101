//! Paths that two parsers could read differently are refused; what passes is what was checked.

use postern_e2e::{client::Request, visit::on_each_host};

/// Ways around a check of `/service/demo/test2`, written by somebody who may call `/service/demo/test`.
const AMBIGUOUS: &[&[u8]] = &[
    b"/service//demo/test",
    b"//service/demo/test",
    b"/service/demo/test//",
    b"/service/./demo/test",
    b"/service/demo/test/.",
    b"/service/demo/x/../test",
    b"/service/demo/test/..",
    b"/service/demo/%2e/test",
    b"/service/demo/test/%2e%2e/test2",
    b"/service/demo/test/%2E%2e/test2",
    b"/service/demo/.%2e/demo/test",
    b"/service/demo%2ftest",
    b"/service/demo%2Ftest",
    b"/service/demo/test%2f..%2ftest2",
    b"/service/demo\\test",
    b"/service/demo%5ctest",
    b"/service/demo/test;x",
    b"/service/demo;x=y/test",
    b"/service/demo/test%3bx",
    b"/service/demo/test%00",
    b"/service/demo/test%00/../test2",
    b"/service/demo/test%0d%0a",
    b"/service/demo/test%252e",
    b"/service/demo/%252e%252e/test2",
    b"/service/demo/test%",
    b"/service/demo/test%2",
    b"/service/demo/test%zz",
    // Overlong forms of `.` and `/`, and bytes that are no UTF-8 at all.
    b"/service/demo/%c0%ae%c0%ae/test2",
    b"/service/demo%c0%aftest",
    b"/service/demo/test%ff",
];

#[test]
fn ambiguous_ones_are_refused_with_and_without_a_token() {
    on_each_host(|visit| {
        let token = visit
            .log_in(&visit.user("ambiguous-path", &["tester", "tester2"]))
            .access;
        let mut wrong = Vec::new();
        for path in AMBIGUOUS {
            for request in [Request::get(path).bearer(&token), Request::get(path)] {
                let status = visit.status(&request);
                if status != 400 {
                    wrong.push(format!("{} is answered {status}", String::from_utf8_lossy(path)));
                }
            }
        }
        assert!(wrong.is_empty(), "not 400: {wrong:#?}");
    });
}

#[test]
fn other_spellings_are_other_paths() {
    on_each_host(|visit| {
        let token = visit.log_in(&visit.user("other-path", &["tester"])).access;
        for (path, status) in [
            ("/service/demo/test", 200),
            // An escape of a letter is that letter (RFC 3986 section 6.2.2.2).
            ("/service/demo/%74est", 200),
            ("/service/demo/test?x=//%2e%2e;%00", 200),
            ("/service/demo/test/", 403),
            ("/service/demo/Test", 403),
            ("/SERVICE/demo/test", 403),
            ("/service/demo/test%20", 403),
            ("/service/secret/login/x", 403),
            ("/servicedemo/test", 403),
        ] {
            assert_eq!(visit.status(&Request::get(path).bearer(&token)), status, "{path}");
        }
    });
}
