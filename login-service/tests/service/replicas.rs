//! Several replicas of the service on one database.

use std::sync::Barrier;
use std::thread;

use serde_json::Value;

use crate::harness::{Answer, BASIC, Engine, Folder, Service, on_each_engine, request};

on_each_engine![
    many_may_start_at_once_on_an_empty_database,
    a_change_reaches_held_polls_at_every_replica,
    a_poller_may_go_to_another_replica_each_time,
    two_commands_that_say_the_same_do_it_once,
];

/// Holds a poll in a thread.
fn hold(service: &Service, version: &str) -> thread::JoinHandle<Answer> {
    let (address, target) = (service.address, format!("/feed/permissions?after={version}&wait=20"));
    thread::spawn(move || request(address, "GET", &target, &[BASIC], ""))
}

fn version(document: &Value) -> String {
    document["version"].as_str().unwrap().to_owned()
}

fn many_may_start_at_once_on_an_empty_database(engine: Engine) {
    let folder = Folder::new(engine, "");
    let together = Barrier::new(4);
    let versions: Vec<String> = thread::scope(|threads| {
        let replicas: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    together.wait();
                    version(&folder.serve().feed(""))
                })
            })
            .collect();
        replicas.into_iter().map(|replica| replica.join().unwrap()).collect()
    });
    assert_eq!(versions, vec![versions[0].clone(); 4], "they speak of one database");
}

fn a_change_reaches_held_polls_at_every_replica(engine: Engine) {
    let folder = Folder::new(engine, "");
    folder.fill();
    let replicas = [folder.serve(), folder.serve(), folder.serve()];
    let before = version(&replicas[0].feed(""));
    let polls = replicas.each_ref().map(|replica| hold(replica, &before));
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(
        polls.iter().all(|poll| !poll.is_finished()),
        "every replica knows the version"
    );
    folder.must("user revoke u2 tester2");
    for poll in polls {
        let answer = poll.join().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["since"], *before);
        assert_eq!(document["changed_users"][0][0], "u2");
    }
}

fn a_poller_may_go_to_another_replica_each_time(engine: Engine) {
    let folder = Folder::new(engine, "");
    let replicas = [folder.serve(), folder.serve()];
    let mut after = version(&replicas[0].feed(""));
    for round in 0..10 {
        let poll = hold(&replicas[round % 2], &after);
        folder.must(&format!("permission add ROLE_{round} --url /r{round}"));
        let document: Value = serde_json::from_str(&poll.join().unwrap().body).unwrap();
        assert_eq!(
            document["since"], *after,
            "a delta, also from a replica that knows less than the poller"
        );
        after = version(&document);
    }
}

fn two_commands_that_say_the_same_do_it_once(engine: Engine) {
    let folder = Folder::new(engine, "");
    let together = Barrier::new(6);
    let codes: Vec<_> = thread::scope(|threads| {
        let commands: Vec<_> = (0..6)
            .map(|_| {
                threads.spawn(|| {
                    together.wait();
                    folder.run("role add tester").code
                })
            })
            .collect();
        commands.into_iter().map(|command| command.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
}
