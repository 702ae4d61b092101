//! Hosts of many VMs: who fetches the keys of an issuer, and what the others have of it.

use serde_json::json;

use super::tests::{POINT, at_uri, keys, named, remote};
use super::*;
use crate::shared_keys::{Now, Place, SharedSet, Turn};

/// The VMs of a host, the values that it keeps for them, and an issuer that answers after a while.
struct HostOfMany {
    place: Place,
    turn: Vec<u8>,
    set: Vec<u8>,
    vms: Vec<RemoteKeys>,
    /// Who fetches, and when the answer is there.
    calls: Vec<(usize, u64)>,
    answer: Option<Vec<u8>>,
    fetches: Vec<u64>,
    failures: Vec<(usize, u64)>,
}

const LATENCY: u64 = 150;

impl HostOfMany {
    fn new(vms: usize) -> Self {
        let issuer = json!({ "issuer": "https://id", "jwks": { "cluster": "id", "uri": "https://id/keys" } });
        Self {
            place: Place::of(b"secret", &serde_json::from_value(issuer).unwrap()).unwrap(),
            turn: Vec::new(),
            set: Vec::new(),
            vms: (0..vms).map(|_| at_uri()).collect(),
            calls: Vec::new(),
            answer: Some(keys(&["a"])),
            fetches: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// What the filter does at a tick of one VM.
    fn tick(&mut self, index: usize, now: u64) {
        let vm = &mut self.vms[index];
        vm.expire(now);
        if !vm.begin(now) {
            return;
        }
        let turn = self.place.turn(&self.turn, now);
        if vm.is_news(turn.brought)
            && let Some(set) = self.place.read(&self.set)
            && vm.take(&set, turn.now, now).is_some()
        {
            return;
        }
        match vm.step(turn.now, now) {
            Step::Fetch => {
                self.turn = self.place.claim(turn, now);
                self.calls.push((index, now + LATENCY));
                self.fetches.push(now);
            }
            Step::Wait => {}
            Step::Failed => self.failures.push((index, now)),
        }
    }

    /// A moment passes: answers come, and every VM ticks.
    fn pass(&mut self, now: u64) {
        let (come, under_way) = self.calls.drain(..).partition(|(_, at)| *at <= now);
        self.calls = under_way;
        let come: Vec<(usize, u64)> = come;
        for (index, _) in come {
            let vm = &mut self.vms[index];
            let arrived = self
                .answer
                .as_deref()
                .is_some_and(|document| vm.arrived(document, now).is_ok());
            let Turn {
                mut brought, failures, ..
            } = self.place.turn(&self.turn, now);
            if arrived {
                (brought, self.set) = vm.shared(&self.place).unwrap();
            } else {
                vm.failed(now);
                self.failures.push((index, now));
            }
            let failures = if arrived { 0 } else { failures + 1 };
            self.turn = self.place.ended(brought, failures, vm.pause(), now);
        }
        for index in 0..self.vms.len() {
            self.tick(index, now);
        }
    }

    fn run(&mut self, times: std::ops::Range<u64>) {
        times.step_by(10).for_each(|now| self.pass(now));
    }
}

const START: u64 = 1_800_000_000_000;

#[test]
fn one_vm_of_a_host_fetches_and_the_others_take_it() {
    let mut host = HostOfMany::new(8);
    host.run(START..START + 2000);
    assert_eq!(host.fetches, [START]);
    assert!(host.vms.iter().all(|vm| vm.current(START + 2000).is_some()));
    // One that is started later needs no fetch either, and its set is as old as that of the others.
    host.vms.push(at_uri());
    host.run(START + 2000..START + 2010);
    assert_eq!(host.vms[8].fetched_at, START + LATENCY);
    // When it has grown old, again one fetches.
    host.run(START + 2010..START + 310_000);
    assert_eq!(host.fetches.len(), 2, "{:?}", host.fetches);
    assert!(host.vms.iter().all(|vm| vm.fetched_at == host.vms[0].fetched_at));
    assert!(host.failures.is_empty());
}

#[test]
fn a_rotation_is_found_with_one_fetch_by_whichever_vm_is_asked() {
    let mut host = HostOfMany::new(4);
    host.run(START..START + 5000);
    host.answer = Some(keys(&["a", "b"]));
    let now = START + 5000;
    for vm in &mut host.vms {
        assert!(vm.may_come(&named("b"), now));
        vm.want(Some(named("b")), now);
    }
    host.run(now + 10..now + 1000);
    assert_eq!(host.fetches.len(), 2, "{:?}", host.fetches);
    assert!(host.vms.iter().all(|vm| vm.current(now).unwrap().len() == 2));
    // A token that comes to a VM while another fetches: perhaps that began too early. It is looked for again.
    host.vms[0].want(Some(named("c")), now + 2000);
    host.run(now + 2000..now + 2050);
    host.vms[1].want(Some(named("d")), now + 2050);
    host.run(now + 2050..now + 2200);
    assert_eq!(host.fetches.len(), 3);
    assert!(!host.vms[0].may_come(&named("c"), now + 2200), "it was looked for");
    assert!(host.vms[1].may_come(&named("d"), now + 2200), "it was not, yet");
    host.answer = Some(keys(&["a", "b", "d"]));
    host.run(now + 2200..now + 4500);
    assert_eq!(host.fetches.len(), 4);
    assert_eq!(host.vms[1].current(now).unwrap().len(), 3);
    // What another VM has found already needs no fetch.
    host.vms[2].want(Some(named("d")), now + 4500);
    host.run(now + 4500..now + 4520);
    assert_eq!((host.fetches.len(), host.vms[2].current(now).unwrap().len()), (4, 3));
}

#[test]
fn the_pace_of_fetches_is_that_of_the_host() {
    let mut host = HostOfMany::new(8);
    host.run(START..START + 2000);
    let mut invented = 0;
    for now in (START + 2000..START + 122_000).step_by(10) {
        for vm in &mut host.vms {
            invented += 1;
            vm.want(Some(named(&invented.to_string())), now);
        }
        host.pass(now);
    }
    let fetches = host.fetches.len();
    assert!((25..=40).contains(&fetches), "{fetches} fetches in two minutes");
    for pair in host.fetches.windows(2) {
        assert!(pair[1] - pair[0] >= LEAST_PAUSE, "{pair:?}");
    }
    // And a real rotation is found while they who wait for it are held.
    host.answer = Some(keys(&["a", "real"]));
    let now = START + 122_000;
    host.vms.iter_mut().for_each(|vm| vm.want(Some(named("real")), now));
    host.run(now + 10..now + crate::config::Config::default().hold.millis);
    assert!(host.vms.iter().all(|vm| vm.current(now).unwrap().len() == 2));
}

#[test]
fn an_outage_is_tried_by_one_and_told_to_who_waits() {
    let mut host = HostOfMany::new(4);
    host.answer = None;
    host.run(START..START + 1000);
    assert_eq!(host.fetches, [START]);
    let told: Vec<_> = host.failures.iter().map(|(index, _)| *index).collect();
    assert_eq!(
        told,
        [0, 1, 2, 3],
        "each has seen that one fetches, and that it was in vain"
    );
    host.run(START + 1000..START + 60_000);
    assert!(
        (25..=35).contains(&host.fetches.len()),
        "{} attempts in a minute",
        host.fetches.len()
    );
    let failures = host.place.turn(&host.turn, START + 60_000).failures;
    assert_eq!(failures, host.fetches.len() as u64, "counted for all of them");
    host.answer = Some(keys(&["a"]));
    host.run(START + 60_000..START + 63_000);
    assert_eq!(host.place.turn(&host.turn, START + 63_000).failures, 0);
    assert!(host.vms.iter().all(|vm| vm.current(START + 63_000).is_some()));
    // Whoever comes in the next outage has the keys of before, and no longer than those are good.
    host.answer = None;
    let fetched_at = host.vms[0].fetched_at;
    let good_until = fetched_at + 3_600_000;
    for (now, keys) in [(good_until - 1000, true), (good_until + 1000, false)] {
        host.vms.push(at_uri());
        host.pass(now);
        host.pass(now + 10);
        let vm = host.vms.last().unwrap();
        assert_eq!(vm.current(now + 10).is_some(), keys, "{now}");
        assert!(!keys || vm.fetched_at == fetched_at);
    }
}

#[test]
fn a_vm_that_is_gone_is_waited_for_as_long_as_a_claim_holds() {
    let mut host = HostOfMany::new(2);
    host.pass(START);
    host.calls.clear();
    host.run(START + 10..START + 3200);
    assert_eq!(host.fetches, [START]);
    host.run(START + 3200..START + 4000);
    assert_eq!(host.fetches, [START, START + 3200]);
    assert!(host.vms[1].current(START + 4000).is_some());
}

#[test]
fn what_is_shared_is_read_as_what_was_fetched() {
    let (mut from, mut vm) = (at_uri(), at_uri());
    assert!(from.begin(START));
    from.arrived(&keys(&["a"]), START + 1).unwrap();
    let set = |document| SharedSet {
        began: START,
        at: START + 1,
        discovery: None,
        document,
    };
    let secret = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "kid": "a", "k": POINT }] }).to_string();
    for no_set in [&b""[..], b"{}", b"<html>", br#"{"keys":[],"keys":[]}"#] {
        assert_eq!(vm.take(&set(no_set), Now::Nothing, START + 5), None);
        assert!(vm.current(START + 5).is_none());
    }
    let taken = vm.take(&set(secret.as_bytes()), Now::Nothing, START + 5);
    assert!(matches!(taken, Some(Arrived::Unusable(_))), "{taken:?}");
    assert_eq!(vm.current(START + 5).map(<[_]>::len), Some(0));
    // Older than ours, of the future, or too old.
    let good = keys(&["a"]);
    let news = |began, at| SharedSet {
        began,
        at,
        ..set(&good)
    };
    for (began, at, now) in [
        (START, START + 1, START + 5),
        (START - 1, START + 1, START + 5),
        (START + 9000, START + 9001, START + 5),
        (START + 1, START + 2, START + 3_600_003),
    ] {
        assert_eq!(vm.take(&news(began, at), Now::Nothing, now), None);
    }
    let taken = vm.take(&news(START + 1, START + 2), Now::Nothing, START + 5);
    assert_eq!((taken, vm.fetched_at), (Some(Arrived::Changed), START + 2));
}

#[test]
fn where_the_keys_are_is_shared_too_and_checked_again() {
    let at = || KeysAt::Discovery {
        base: "https://id".into(),
        keys: None,
    };
    let (mut from, mut vm) = (remote(at()), remote(at()));
    assert!(from.begin(START));
    let document = br#"{"issuer":"https://id","jwks_uri":"https://id/certs","more":1}"#;
    from.discovered(document, START + 1).unwrap();
    from.arrived(&keys(&["a"]), START + 2).unwrap();
    let issuer = json!({ "issuer": "https://id", "jwks": { "cluster": "id", "discovery": "https://id" } });
    let place = Place::of(b"secret", &serde_json::from_value(issuer).unwrap()).unwrap();
    let (began, entry) = from.shared(&place).unwrap();
    assert!(vm.begin(START + 5) && vm.is_news(began));
    let set = place.read(&entry).unwrap();
    for wrong in [
        &br#"{"issuer":"https://other","jwks_uri":"https://id/certs"}"#[..],
        br#"{"issuer":"https://id","jwks_uri":"https://evil/certs"}"#,
        br#"{"issuer":"https://id","jwks_uri":"http://id/certs"}"#,
    ] {
        let discovery = Some((wrong, START + 1));
        assert_eq!(vm.take(&SharedSet { discovery, ..set }, Now::Nothing, START + 5), None);
    }
    let without = SharedSet { discovery: None, ..set };
    assert_eq!(vm.take(&without, Now::Nothing, START + 5), None);
    assert_eq!(vm.take(&set, Now::Nothing, START + 5), Some(Arrived::Changed));
    let asked = vm.request(START + 10);
    assert_eq!((asked.uri.as_str(), asked.discovery), ("https://id/certs", false));
    assert!(
        vm.request(START + 1 + DISCOVERY_AGE).discovery,
        "as old as where it came from"
    );
}
