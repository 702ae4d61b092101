//! What the demo prints when it is ready: where everything is, and what to try.

use super::{Options, shown};
use crate::stack::{HostKind, HostPorts, ServerPorts};

/// Addresses, and lines to copy into another shell.
pub fn text(options: &Options) -> String {
    let HostPorts { gateway, admin } = options.host_ports;
    let ServerPorts {
        auth,
        login,
        service,
        provider,
    } = options.server_ports;
    let host = match options.host {
        HostKind::Gateway => "host-gateway",
        HostKind::Envoy => "Envoy",
    };
    let logs = shown(&options.folder.join("logs"));
    format!(
        r#"
Postern is running. Ctrl-C stops it.

  {host:<14} http://127.0.0.1:{gateway}   (admin http://127.0.0.1:{admin})
  auth server    http://127.0.0.1:{auth}
  login service  http://127.0.0.1:{login}
  demo service   http://127.0.0.1:{service}   (provider http://127.0.0.1:{provider})
  logs           {logs}/*.log

Users: u1 / password (may call test), u2 / password (test and test2), admin / admin-password. Try in another shell:

  # log in as u1, and keep the two tokens
  GATEWAY=http://127.0.0.1:{gateway}
  ANSWER=$(curl -s -u demo:demo-secret -d 'grant_type=password&username=u1&password=password' $GATEWAY/login/oauth/token); echo "$ANSWER"
  TOKEN=$(echo "$ANSWER" | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); REFRESH=$(echo "$ANSWER" | sed 's/.*"refresh_token":"\([^"]*\)".*/\1/')

  # no token: 401 · u1 may call this: 200 ok · u1 may not call that: 403
  curl -siw '\n' $GATEWAY/service/demo/test
  curl -siw '\n' -H "Authorization: bearer $TOKEN" $GATEWAY/service/demo/test
  curl -siw '\n' -H "Authorization: bearer $TOKEN" $GATEWAY/service/demo/test2

  # refresh: a new token, and the old one is refused: 401
  OLD=$TOKEN; ANSWER=$(curl -s -u demo:demo-secret -d grant_type=refresh_token -d refresh_token=$REFRESH $GATEWAY/login/oauth/token); echo "$ANSWER"
  TOKEN=$(echo "$ANSWER" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -siw '\n' -H "Authorization: bearer $OLD" $GATEWAY/service/demo/test

  # log out, and the token is refused at once: 401
  curl -siw '\n' -X POST -H "Authorization: bearer $TOKEN" $GATEWAY/login/logout
  curl -siw '\n' -H "Authorization: bearer $TOKEN" $GATEWAY/service/demo/test

The other legacy contracts; their tokens pass the same filter:

  # single sign-on: an opaque token for u2, who may call test2
  SSO=$(curl -s -d 'grant_type=password&username=u2&password=password&client_id=test_client_id_1&client_secret=test_client_secret_1' $GATEWAY/sso/oauth/token); echo "$SSO"
  curl -siw '\n' -H "Authorization: bearer $(echo "$SSO" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')" $GATEWAY/service/demo/test2
  # and in a browser: http://127.0.0.1:{gateway}/sso/oauth/authorize?response_type=code&client_id=test_client_id_1&redirect_uri=http://127.0.0.1:{service}/demo/echo

  # uaa: a token of the administrator registers a client, which then has tokens of its own
  ADMIN=$(curl -s -d 'client_id=admin&client_secret=secret&grant_type=client_credentials' $GATEWAY/uaa/oauth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -sw '\n' -d "access_token=$ADMIN&clientId=acme&clientSecret=acm" $GATEWAY/uaa/register
  curl -sw '\n' -d 'client_id=acme&client_secret=acm&grant_type=client_credentials' $GATEWAY/uaa/oauth/token

  # open platform: a JWT that says on whose behalf the client calls
  PLATFORM=$(curl -s -d 'client_id=platform&client_secret=platform-secret&grant_type=client_credentials' $GATEWAY/authorization-server/oauth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -siw '\n' -H "Authorization: bearer $PLATFORM" $GATEWAY/service/demo/test

"#
    )
}
