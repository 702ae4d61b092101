//! One scenario on one host: what is sent, and what comes back. Then the same on the other host, and both are compared.

use std::{
    cell::RefCell,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use xtask::{clock, stack::HostKind};

use crate::{
    client::{Request, Response},
    host::{self, Host},
    servers::Servers,
    transcript,
};

/// Each request has a connection of its own, and connections spread over the two workers of a host: so many equal answers
/// in a row come from both.
const ALL_WORKERS: u32 = 16;

/// Runs the scenario on each host in front of the shared servers and compares what was seen.
pub fn on_each_host(scenario: impl Fn(&Visit<'_>)) {
    compare_hosts(|kind| {
        let visit = Visit::new(Servers::shared(), Host::shared(kind));
        scenario(&visit);
        visit.seen()
    });
}

/// Runs a scenario that starts its own servers or hosts, once for each kind of host, and compares what was seen.
pub fn compare_hosts(scenario: impl Fn(HostKind) -> Vec<String>) {
    let mut seen = host::kinds().into_iter().map(|kind| (kind, scenario(kind)));
    let (first, expected) = seen.next().expect("host-gateway is always there");
    for (kind, other) in seen {
        for (index, (left, right)) in expected.iter().zip(&other).enumerate() {
            assert_eq!(left, right, "answer {index} differs: left {first:?}, right {kind:?}");
        }
        assert_eq!(
            expected.len(),
            other.len(),
            "{first:?} and {kind:?} gave different numbers of answers"
        );
    }
}

/// A user's two tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

/// A scenario's way to one host and to the servers behind it.
pub struct Visit<'a> {
    /// What is behind the host.
    pub servers: &'a Servers,
    /// The host.
    pub host: &'a Host,
    seen: RefCell<Vec<String>>,
}

impl<'a> Visit<'a> {
    /// Nothing seen yet.
    pub fn new(servers: &'a Servers, host: &'a Host) -> Self {
        Self {
            servers,
            host,
            seen: RefCell::default(),
        }
    }

    /// Sends a request to the host; the answer is part of what must be the same on both hosts.
    pub fn send(&self, request: &Request) -> Response {
        let response = request.send(self.host.port);
        self.saw(&response);
        response
    }

    /// An answer that came another way is part of what must be the same on both hosts.
    pub fn saw(&self, response: &Response) {
        let masked = transcript::masked(response, &self.suffix());
        self.seen.borrow_mut().push(masked);
    }

    /// Sends a request whose answer is compared by its status only: the host itself may word it.
    pub fn status(&self, request: &Request) -> u16 {
        let status = request.send(self.host.port).status;
        self.seen.borrow_mut().push(status.to_string());
        status
    }

    /// A name that is the scenario's own on this host; in what is compared, the host is taken off it.
    pub fn own_name(&self, scenario: &str) -> String {
        format!("{scenario}{}", self.suffix())
    }

    /// Adds a user with these roles and a name of the scenario's own. The password is `password`.
    pub fn user(&self, scenario: &str, roles: &[&str]) -> String {
        let name = self.own_name(scenario);
        self.servers.login(&format!("user add {name} --password password"));
        for role in roles {
            self.servers.login(&format!("user grant {name} {role}"));
        }
        name
    }

    /// Logs a user in through the host.
    pub fn log_in(&self, user: &str) -> Tokens {
        tokens(&self.send(&password_grant(user, "password")))
    }

    /// Asks again and again until every worker of the host answers with the status; prints how long that took, and fails
    /// when it took longer than two seconds (ten times what is promised: other tests keep the machine busy).
    pub fn until(&self, what: &str, status: u16, request: &Request) {
        let took = self.wait(Duration::from_secs(2), status, request);
        // Not `println!`: what a test prints is hidden unless it fails, and these figures are worth seeing.
        let _unseen = writeln!(
            std::io::stderr(),
            "{}: {what} took effect after {:.0} ms",
            host::name(self.host.kind),
            took.as_secs_f64() * 1000.0
        );
    }

    /// Asks again and again until every worker answers with the status, at most so long. Returns when the last other
    /// answer came.
    pub fn wait(&self, at_most: Duration, status: u16, request: &Request) -> Duration {
        let began: Instant = clock::now();
        let (mut in_a_row, mut took) = (0, Duration::ZERO);
        while in_a_row < ALL_WORKERS {
            let response = request.send(self.host.port);
            if response.status == status {
                in_a_row += 1;
            } else {
                in_a_row = 0;
                took = began.elapsed();
                assert!(took < at_most, "no {status} within {at_most:?}; last: {response:?}");
            }
            thread::sleep(Duration::from_millis(2));
        }
        took
    }

    /// Everything that must be the same on both hosts.
    pub fn seen(self) -> Vec<String> {
        self.seen.into_inner()
    }

    fn suffix(&self) -> String {
        format!("-{}", host::name(self.host.kind))
    }
}

/// A login as the legacy clients send it.
pub fn password_grant(user: &str, password: &str) -> Request {
    Request::form(
        "/login/oauth/token",
        &format!("username={user}&password={password}&grant_type=password"),
    )
    .basic("demo", "demo-secret")
}

/// A refresh as the legacy clients send it.
pub fn refresh_grant(refresh_token: &str) -> Request {
    Request::form(
        "/login/oauth/token",
        &format!("refresh_token={refresh_token}&grant_type=refresh_token"),
    )
    .basic("demo", "demo-secret")
}

/// The tokens of a successful answer.
pub fn tokens(response: &Response) -> Tokens {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let text = |key: &str| {
        body[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {body}"))
            .to_owned()
    };
    Tokens {
        access: text("access_token"),
        refresh: text("refresh_token"),
    }
}
