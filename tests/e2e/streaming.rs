//! Bodies pass through as they come, whatever their length.

use postern_e2e::{
    client::Request,
    host::{Host, filter_plugin},
    servers::Servers,
    upstream::EchoUpstream,
    visit::{Visit, compare_hosts},
};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 1024;

#[test]
fn a_large_body_streams_both_ways() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("streaming", upstream.port);
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[]));
        let visit = Visit::new(servers, &host);
        let token = visit.log_in(&visit.user("streaming", &[])).access;

        // Each piece comes back before the next one is sent: a host that collected the body would wait for ever.
        let mut exchange = Request::new("POST", "/demo/echo")
            .bearer(&token)
            .open(host.port, PIECE * PIECES);
        for number in 0..PIECES {
            let piece = vec![u8::try_from(number % 251).expect("below 251"); PIECE];
            exchange.write(&piece);
            if number == 0 {
                let head = exchange.response();
                assert_eq!(head.status, 200, "{head:?}");
                assert_eq!(
                    head.header("content-length"),
                    Some((PIECE * PIECES).to_string().as_str())
                );
            }
            assert!(exchange.exactly(PIECE) == piece, "piece {number} came back changed");
        }
        visit.seen()
    });
}

#[test]
fn a_refused_request_never_reaches_the_upstream() {
    compare_hosts(|kind| {
        let servers = Servers::shared();
        let upstream = EchoUpstream::start();
        let stack = servers.for_host_before("refused", upstream.port);
        let host = Host::start(&stack, kind, &filter_plugin(&stack, &[]));
        let visit = Visit::new(servers, &host);
        let response = visit.send(&Request::new("POST", "/demo/echo").body(vec![b'x'; 100_000]));
        assert_eq!(response.status, 401);
        assert!(upstream.heads().is_empty());
        visit.seen()
    });
}
