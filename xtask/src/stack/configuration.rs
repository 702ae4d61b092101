//! The configuration files of the stack, as text: what a reader of the demo's folder sees.

use super::{HostPorts, Plugin, ServerPorts};

/// `login.yaml`.
pub fn login_service(ports: &ServerPorts) -> String {
    format!(
        "\
listen: 127.0.0.1:{login}
database: sqlite:login.db
# who may follow the feed of permissions: the filter in the host, and the auth server
credentials: [ \"gateway:secret\" ]
# the three reserved interfaces answer anybody, as in the legacy system: for a demo only
danger_open_reserved: true
",
        login = ports.login
    )
}

/// `auth.yaml`.
pub fn auth_server(ports: &ServerPorts) -> String {
    format!(
        "\
listen: 127.0.0.1:{auth}
database: sqlite:auth.db
login_service: {{ url: \"http://127.0.0.1:{login}\", credentials: \"gateway:secret\", timeout: 5s }}
# who may follow the feed of keys and revocations
feed: {{ credentials: [ \"gateway:secret\" ] }}
# the host strips /login; whoever asks the auth server directly finds the same at /
mounts:
  - {{ profile: spring, path: /login }}
  - {{ profile: spring, path: / }}
  - {{ profile: tkey, path: /sso }}
  # check_token asks nobody who they are, as in the legacy system: for a demo only
  - {{ profile: uaa, path: /uaa, danger_open_check_token: true }}
  - {{ profile: principal, path: /authorization-server }}
compat:
  spring_oauth: \"2.0.13\"
  reuse_refresh_token: true
  # requests of the legacy documentation carry tokens and secrets in the query: for a demo only
  query_credentials: true
# for pages that call the auth server itself; the host has a list of its own
cors: {{ origins: [ \"http://localhost:*\", \"http://127.0.0.1:*\" ] }}
",
        auth = ports.auth,
        login = ports.login
    )
}

/// `gateway.yaml`, which host-gateway runs and from which Envoy's bootstrap is printed.
pub fn gateway(servers: &ServerPorts, host: HostPorts, plugin: &Plugin) -> String {
    let ServerPorts {
        auth, login, service, ..
    } = servers;
    let HostPorts { gateway, admin } = host;
    format!(
        "\
workers: 2
listeners:
  - address: \"127.0.0.1:{gateway}\"
routes:
  - {{ prefix: /login/, cluster: auth-server, strip_prefix: /login }}
  - {{ prefix: /sso/, cluster: auth-server }}
  - {{ prefix: /uaa/, cluster: auth-server }}
  - {{ prefix: /authorization-server/, cluster: auth-server }}
  - {{ prefix: /oauth2/, cluster: auth-server }}
  - {{ prefix: /.well-known/, cluster: auth-server }}
  - {{ prefix: /service/, cluster: demo, strip_prefix: /service }}
  - {{ prefix: /demo/, cluster: demo }}
clusters:
  auth-server: {{ endpoints: [ \"127.0.0.1:{auth}\" ] }}
  login-service: {{ endpoints: [ \"127.0.0.1:{login}\" ] }}
  demo: {{ endpoints: [ \"127.0.0.1:{service}\" ] }}
plugins:
  - name: auth
    wasm: {wasm}
    configuration: {configuration}
# pages that a developer serves on this machine may call
cors: {{ origins: [ \"http://localhost:*\", \"http://127.0.0.1:*\" ] }}
admin: {{ address: \"127.0.0.1:{admin}\" }}
",
        wasm = quoted(&plugin.wasm.display().to_string()),
        configuration = indented(&plugin.configuration),
    )
}

/// The plugin configuration of the demo. It is JSON, and so also YAML.
pub fn plugin() -> String {
    r#"{
  "auth_server":   { "cluster": "auth-server", "authority": "auth-server", "credentials": "gateway:secret" },
  "login_service": { "cluster": "login-service", "authority": "login-service", "credentials": "gateway:secret" },
  "public": [ "/login/**", "/sso/**", "/uaa/**", "/authorization-server/**", "/oauth2/**", "/.well-known/**" ],
  "rules":  [ { "path": "/login/feed/**", "deny": true }, { "path": "/login/metrics/**", "deny": true },
              { "path": "/login/health/**", "deny": true }, { "path": "/login/oauth2/**", "deny": true },
              { "path": "/oauth2/introspect/**", "deny": true },
              { "path": "/demo/echo" }, { "path": "/service/demo/echo" },
              { "path": "/demo/data" }, { "path": "/service/demo/data" } ],
  "errors": "spring"
}"#
    .to_owned()
}

/// A YAML double-quoted scalar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// JSON over several lines, deeper than the key it belongs to.
fn indented(json: &str) -> String {
    json.replace('\n', "\n      ")
}
