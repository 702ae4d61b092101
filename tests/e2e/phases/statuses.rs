//! What each function answers in each callback, also where it makes no sense: the same on both hosts, but for what is known.

use std::collections::BTreeMap;

use postern_e2e::host::kinds;

use super::{Notes, Stage, Trailers};

/// Where the gateway answers otherwise, in some callbacks: the begin and the end of a function's name with its arguments, its
/// answer, and Envoy's.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    // What is not there now is not found; to Envoy it is empty.
    ("buffer", "", "1", "0"),
    // The plugin's configuration can be read at any time.
    ("buffer7", "", "0", "1"),
    // What is never written is no good argument; to Envoy it may be absent first.
    ("buffer4.set", "", "2", "1"),
    ("buffer7.set", "", "2", "1"),
    // Not an answer about a function: Envoy shows the end of a body without its bytes.
    ("buffer1.set(1,1)", "", "2", "0"),
    ("buffer1.set(2,1000)", "", "2", "0"),
    // A field of a map that is not there is not found, and the map is empty.
    ("map", ".get", "1", "2"),
    ("map", ".get-empty", "1", "2"),
    ("map", ".size", "0", "2"),
    // Fields of a response may be given before there is one, and nothing is changed after the end.
    ("map2", "", "0", "2"),
    ("map3", "", "2", "0"),
    ("continue(2)", "", "12", "0"),
    ("continue(3)", "", "0", "12"),
    // Envoy has a context with the number 0.
    ("effective(0)", "", "2", "0"),
    ("effective(own)", "", "2", "0"),
    ("foreign(set_envoy_filter_state,0)", "", "2", "1"),
    // Found without `xds`, too; what stands below a text is not looked at. An empty name may be set.
    ("get_property(listener_direction)", "", "0", "1"),
    ("get_property(node.id)", "", "0", "1"),
    ("get_property(plugin_name.x)", "", "0", "1"),
    ("get_property()", "", "0", "3"),
    ("get_property()", "", "1", "3"),
    // Numbers that stand for nothing; in Envoy they also say of what kind it would be.
    ("grpc_", "", "1", "2"),
    ("grpc_send(4000002)", "", "2", "1"),
    ("metric(", "", "1", "2"),
    ("increment(", "", "2", "1"),
];

fn is_known(function: &str, gateway: &str, envoy: &str) -> bool {
    KNOWN.iter().any(|(begin, end, ours, theirs)| {
        function.starts_with(begin) && function.ends_with(end) && *ours == gateway && *theirs == envoy
    })
}

/// The answers to all functions, by callback and function.
fn answers(notes: &[String]) -> BTreeMap<(String, String), String> {
    let mut answers = BTreeMap::new();
    for note in notes {
        let Some((callback, line)) = note.split_once('|') else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.chunks(2) {
            answers
                .entry((callback.to_owned(), pair[0].to_owned()))
                .or_insert_with(|| pair[1].to_owned());
        }
    }
    answers
}

#[test]
fn functions_answer_alike_in_each_callback() {
    let mut all = Vec::new();
    for kind in kinds() {
        let stage = Stage::start(kind, Trailers::Pass);
        let mut notes = Notes::from_the_start();
        let mut seen = notes.up_to(&stage.host, "tick|");
        let trailed = "POST\ntransfer-encoding: chunked\n\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
        for (path, sent) in [
            ("statuses/a", "POST\n\nhello"),
            ("statuses/a?chunks", "GET"),
            ("statuses/a?trailers", trailed),
        ] {
            stage.send(path, sent);
            seen.extend(notes.up_to(&stage.host, "the end"));
        }
        all.push(answers(&seen));
    }
    let [gateway, envoy] = &all[..] else { return };
    let mut different = String::new();
    for (key, answer) in envoy {
        let ours = gateway.get(key).map_or("-", String::as_str);
        if ours != answer && !is_known(&key.1, ours, answer) {
            different.push_str(&format!("{}: {} is {ours}, in Envoy {answer}\n", key.0, key.1));
        }
    }
    for (callback, function) in gateway.keys().filter(|key| !envoy.contains_key(*key)) {
        different.push_str(&format!("{callback}: {function} is only in the gateway\n"));
    }
    assert_eq!(different, "");
}
