//! The command line: what it does, and what it says when it cannot.

use crate::harness::{Engine, Folder, on_each_engine};

on_each_engine![
    lists_show_what_was_added,
    errors_are_one_line_that_says_what_to_do,
    if_missing_makes_adding_repeatable,
    passwords_come_from_standard_input_or_as_a_hash,
    two_commands_may_create_the_database_at_once,
];

fn lists_show_what_was_added(engine: Engine) {
    let folder = Folder::new(engine, "");
    folder.fill();
    assert_eq!(
        folder.run("user list").stdout,
        "NAME  ID  STATE    ROLES\nu1    u1  enabled  tester\nu2    u2  enabled  tester, tester2\n"
    );
    assert_eq!(
        folder.run("role list").stdout,
        "NAME     PERMISSIONS\ntester   1\ntester2  2\n"
    );
    let permissions = folder.run("permission list").stdout;
    assert!(
        permissions.contains("3   ROLE_ADMIN  GET     /service/demo/admin/**"),
        "{permissions}"
    );
}

fn errors_are_one_line_that_says_what_to_do(engine: Engine) {
    let folder = Folder::new(engine, "");
    folder.fill();
    for (line, error) in [
        (
            "user add u1 --password x",
            "error: there is already a user named `u1`; choose another name, or pass --if-missing to leave that one as it is\n",
        ),
        (
            "user add u3 --id u1 --password x",
            "error: there is already a user with the id `u1`; choose another with --id\n",
        ),
        (
            "role add tester",
            "error: there is already a role named `tester`; pass --if-missing to leave it as it is\n",
        ),
        (
            "permission add ROLE_X --url /x --id 1",
            "error: there is already a permission with the id 1; leave --id out to get a free one, or pass --if-missing\n",
        ),
        (
            "permission add ROLE_TEST --url /service/demo/test",
            "error: there is already a permission ROLE_TEST for /service/demo/test with that method; pass --if-missing to leave it as it is\n",
        ),
        (
            "user grant u1 tster",
            "error: there is no role named `tster`; `postern-login role list` shows those there are, `role add tster` adds it\n",
        ),
        (
            "user grant u9 tester",
            "error: there is no user named `u9`; `postern-login user list` shows those there are\n",
        ),
        (
            "user remove u9",
            "error: there is no user named `u9`; `postern-login user list` shows those there are\n",
        ),
        (
            "role remove tster",
            "error: there is no role named `tster`; `postern-login role list` shows those there are, `role add tster` adds it\n",
        ),
        (
            "role grant tester 99",
            "error: there is no permission with the id 99; `postern-login permission list` shows those there are\n",
        ),
        (
            "permission remove 99",
            "error: there is no permission with the id 99; `postern-login permission list` shows those there are\n",
        ),
        (
            "permission add ROLE_X --url /a/**/b",
            "error: the url `/a/**/b` has `**` before its end; only the last segment may be `**`\n",
        ),
        (
            "permission add ROLE_X --url /a --method get",
            "error: the method `get` is not one; write it in capitals, as in GET, or leave --method out for all\n",
        ),
        (
            "user add u3 --password-hash secret",
            "error: --password-hash is not an Argon2 hash; it must look like `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`\n",
        ),
        (
            "user add u3 --password-stdin",
            "error: --password-stdin: there is no password; give the password as one line on standard input\n",
        ),
    ] {
        let said = folder.run(line);
        assert_eq!((said.code, said.stderr.as_str()), (Some(1), error), "{line}");
    }
    assert_eq!(folder.run("user add u3").code, Some(2), "a password is needed");
    assert_eq!(
        folder.run("user add u3 --password a --password-stdin").code,
        Some(2),
        "from one place"
    );
}

fn if_missing_makes_adding_repeatable(engine: Engine) {
    let folder = Folder::new(engine, "");
    folder.fill();
    let before = folder.serve().feed("")["version"].clone();
    folder.must(
        "user add u1 --password another --if-missing
         role add tester --if-missing
         permission add ROLE_TEST --url /service/demo/test --if-missing
         permission add ROLE_TEST --url /service/demo/test --id 1 --if-missing
         role grant tester 1
         user grant u1 tester
         user revoke u1 tester2
         user enable u1",
    );
    let service = folder.serve();
    assert_eq!(
        service.feed("")["version"],
        before,
        "nothing changed, so no gateway is told"
    );
    assert_eq!(
        service.form("/login", "username=u1&password=password").body,
        r#"{"userId":"u1"}"#
    );
}

fn passwords_come_from_standard_input_or_as_a_hash(engine: Engine) {
    let folder = Folder::new(engine, "");
    assert_eq!(
        folder
            .run_with_stdin("user add u1 --id 17 --password-stdin", "pass word\r\nrest\n")
            .code,
        Some(0)
    );
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$VbWVGv8RIGbVyOyz0aSLqbIgvrM2dBlJIUKyBjkZP3E";
    assert_eq!(folder.run(&format!("user add u2 --password-hash {hash}")).code, Some(0));
    let service = folder.serve();
    assert_eq!(
        service.form("/login", "username=u1&password=pass+word").body,
        r#"{"userId":"17"}"#
    );
    folder.must("user password u1 --password changed");
    assert_eq!(
        service.form("/login", "username=u1&password=pass+word").body,
        r#"{"errorMsg":"password invalid"}"#
    );
    assert_eq!(
        service.form("/login", "username=u1&password=changed").body,
        r#"{"userId":"17"}"#
    );
}

fn two_commands_may_create_the_database_at_once(engine: Engine) {
    let folder = Folder::new(engine, "");
    std::thread::scope(|threads| {
        for number in 0..6 {
            let folder = &folder;
            threads.spawn(move || folder.must(&format!("role add role{number}")));
        }
    });
    assert_eq!(folder.run("role list").stdout.lines().count(), 7);
}
