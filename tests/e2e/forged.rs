//! The table of forged tokens, shown to the shipped filter in both hosts: the verdict is that of `postern-access`.

use std::time::Duration;

use postern_access::{
    policy::{Decision, Policy},
    state::State,
};
use postern_e2e::{
    client::{Request, Response},
    host::{Host, filter_plugin},
    servers::Servers,
    upstream::EchoUpstream,
    visit::Visit,
};
use serde_json::{Value, json};
use table::Verdict;

use crate::dpop::now;

#[path = "../../access/tests/forged/table.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the tests of the other crate may panic"
)]
pub mod table;

/// What the code of this tree says now: 200 or the status of the refusal.
fn expected(policy: &Policy, state: &mut State, token: &str) -> u16 {
    let value = format!("Bearer {token}");
    let headers = [(":method", "GET"), (":path", "/demo/test"), ("authorization", &value)];
    let request = policy.read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let now = now() * 1000;
    match policy.decide(&request, state, now) {
        Decision::Allow(_) => 200,
        Decision::Deny(denial) => policy.answer(&denial, &request, now).status,
        Decision::Need(need) => panic!("{need:?}"),
    }
}

#[test]
fn forged_tokens_are_refused_by_both_hosts() {
    let mut rows = Vec::new();
    for (_, subject) in table::SUBJECTS {
        let mut table = table::Table::default();
        subject(&mut table);
        // A subject with a row for everything that can be done to a token of every algorithm is shown in part, from all
        // over it: the rest meets the same code in the tests of `postern-access`.
        let many = table.rows.len() > 350;
        let step = if many { (table.rows.len() / 150) | 1 } else { 1 };
        rows.extend(table.rows.into_iter().step_by(step));
    }
    assert!(rows.len() > 500, "{} tokens", rows.len());
    for kind in postern_e2e::host::kinds() {
        let (servers, upstream) = (Servers::shared(), EchoUpstream::start());
        let stack = servers.for_host_before("forged", upstream.port);
        let mut configuration = table::configuration();
        configuration["rules"] = json!([]);
        configuration["public"] = json!([]);
        let policy = Policy::parse(configuration.to_string().as_bytes()).expect("a good configuration");
        let mut state = State::new(policy.config(), 1).expect("good keys");
        let members = configuration.as_object().expect("an object").clone();
        let mut changes = vec![
            ("auth_server", Value::Null),
            ("login_service", Value::Null),
            ("errors", json!("rfc6750")),
        ];
        changes.extend(members.iter().map(|(key, value)| (key.as_str(), value.clone())));
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &changes));
        let good = rows
            .iter()
            .find(|row| row.verdict == Verdict::Passes)
            .expect("a good one");
        let call = |token: &str| Request::get("/demo/test").header("Authorization", &format!("Bearer {token}"));
        Visit::new(servers, &host).wait(Duration::from_secs(20), 200, &call(&good.token));

        let mut passed = 0;
        for row in &rows {
            // Bytes that no header may have are refused by the hosts themselves, each in its own way.
            let sent = call(&row.token).send(host.port);
            let verdict = expected(&policy, &mut state, &row.token);
            let Response { status, .. } = sent;
            let same = status == verdict || (status == 400 && verdict != 200);
            assert!(same, "{kind:?}: {}: {verdict} expected, {sent:?}", row.what);
            passed += usize::from(status == 200);
        }
        assert!(passed > 70, "only {passed} tokens passed");
    }
}
