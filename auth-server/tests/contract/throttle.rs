//! Guessing is slowed down, and nobody is locked out by it (contract section 12).

use crate::harness::*;

const WRONG: &str = "grant_type=password&username=u1&password=wrong";
const RIGHT: &str = "grant_type=password&username=u1&password=password";

/// Calls at the same time, each on a connection of its own.
fn together(calls: usize, call: impl Fn() -> u16 + Sync) -> Vec<u16> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..calls).map(|_| scope.spawn(&call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn guesses_at_a_user_are_turned_away_and_the_user_is_not_locked_out() {
    let server = Server::start();
    // Nobody is slowed down at first: 64 honest calls at once are all answered.
    assert_eq!(together(64, || server.token(RIGHT).status), [200; 64]);
    for _ in 0..10 {
        let answer = server.token(WRONG);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"password &lt;invalid&gt;"}"#
            )
        );
    }
    let asked = server.login.requests().len();
    let answers = together(16, || server.token(WRONG).status);
    let count = |wanted: u16| answers.iter().filter(|status| **status == wanted).count();
    let (refused, turned_away) = (count(400), count(429));
    assert!(turned_away > 0 && refused + turned_away == 16, "{answers:?}");
    assert_eq!(
        server.login.requests().len(),
        asked + refused,
        "the others were not even looked at"
    );
    // When the guessing stops, the right password is as good as ever, and so are other users.
    assert_eq!(server.token(RIGHT).status, 200);
    assert_eq!(server.log_in("u2")["userId"], "u2-id");
}

#[test]
fn another_client_or_another_spelling_is_no_fresh_start() {
    let server = Server::with_clients(&[
        "second --secret s --profile spring --grants password --scopes all",
        "third --secret s --profile spring --grants password --scopes all",
    ]);
    let spellings = ["u1", "U1", "u1%20", "%20u1%09", "u1++"];
    let clients = [DEMO_CLIENT, ("second", "s"), ("third", "s")];
    let form = |spelling: &str| format!("grant_type=password&username={spelling}&password=wrong");
    for guess in 0..10 {
        let answer = server.post("/oauth/token", clients[guess % 3], &form(spellings[guess % 5]));
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    for (client, spelling) in clients.into_iter().zip(spellings) {
        let answers = together(8, || server.post("/oauth/token", client, &form(spelling)).status);
        assert!(answers.contains(&429), "{client:?} {spelling} {answers:?}");
    }
    assert_eq!(server.log_in("u2")["userId"], "u2-id");
}

#[test]
fn guesses_at_the_credentials_of_gateways_are_slow_and_gateways_are_not_turned_away() {
    let server = Server::start();
    let ask = &|path: &str, password: &str| match path {
        "/feed/tokens" => {
            server
                .get(
                    "/feed/tokens?wait=0",
                    &[("authorization", &basic(("gateway", password)))],
                )
                .status
        }
        path => server.post(path, ("gateway", password), "token=x").status,
    };
    let paths = ["/feed/tokens", "/oauth2/introspect"];
    for guess in 0..10 {
        assert_eq!(ask(paths[guess % 2], "wrong"), 401);
    }
    std::thread::scope(|scope| {
        let guess = |guess: usize| scope.spawn(move || ask(paths[guess % 2], "wrong"));
        let guesses: Vec<_> = (0..8).map(guess).collect();
        assert_eq!(paths.map(|path| ask(path, "secret")), [200; 2]);
        assert!(guesses.iter().any(|guess| !guess.is_finished()), "some are held back");
        for guess in guesses {
            assert_eq!(guess.join().unwrap(), 401);
        }
    });
    // Who shows nothing guesses nothing.
    assert_eq!(server.get("/feed/tokens?wait=0", &[]).status, 401);
}

#[test]
fn who_is_turned_away_is_told_when_to_come_back() {
    let server = Server::start();
    for _ in 0..10 {
        server.token(WRONG);
    }
    let server = &server;
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..8).map(|_| scope.spawn(|| server.token(WRONG))).collect();
        let answers: Vec<_> = answers.into_iter().map(|thread| thread.join().unwrap()).collect();
        let answer = answers.iter().find(|answer| answer.status == 429).unwrap();
        assert_eq!(
            answer.body,
            r#"{"error":"temporarily_unavailable","error_description":"Too many failed attempts"}"#
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    });
}

#[test]
fn hanging_up_is_no_way_around_it() {
    use std::io::Write as _;
    let server = Server::start();
    for _ in 0..10 {
        server.token(WRONG);
    }
    // From here on each is held back for some seconds.
    together(8, || server.token(WRONG).status);
    for _ in 0..4 {
        let body = WRONG;
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n\r\n",
            basic(DEMO_CLIENT),
            body.len()
        );
        let asked = server.login.requests().len();
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        // Once the login service has been asked, nobody waits for the answer.
        while server.login.requests().len() == asked {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(server.token(WRONG).status, 429);
}

#[test]
fn guesses_at_a_client_are_slow_and_the_client_is_not_turned_away() {
    let server = Server::start();
    for _ in 0..10 {
        assert_eq!(server.post("/oauth/token", ("demo", "wrong"), RIGHT).status, 401);
    }
    let answers = together(2, || {
        match server.post("/oauth/token", ("demo", "wrong"), RIGHT).status {
            401 => server.token(RIGHT).status,
            other => other,
        }
    });
    assert_eq!(answers, [200; 2]);
}
