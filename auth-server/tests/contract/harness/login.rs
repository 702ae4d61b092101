//! A login service as a team may have its own: the reserved interfaces over HTTP/1.1, and switches for bad days.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Users `u1` (ROLE_TEST), `u2` (ROLE_TEST2 and ROLE_TEST, twice) and `u0` (no permissions), all with `password`.
pub struct LoginService {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    day: Day,
    permissions: HashMap<String, Vec<&'static str>>,
    /// The ids of users who have another one than `NAME-id`.
    ids: HashMap<String, String>,
    /// The ids of users who were disabled or removed.
    gone: HashSet<String>,
    requests: Vec<String>,
}

/// How the service feels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Day {
    Good,
    Saturated,
    Broken,
    Silent,
}

impl LoginService {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let permissions = [
            ("u0", vec![]),
            ("u1", vec!["ROLE_TEST"]),
            ("u2", vec!["ROLE_TEST2", "ROLE_TEST", "ROLE_TEST"]),
        ];
        let permissions = permissions
            .into_iter()
            .map(|(user, names)| (user.to_owned(), names))
            .collect();
        let state = Arc::new(Mutex::new(State {
            day: Day::Good,
            permissions,
            ids: HashMap::new(),
            gone: HashSet::new(),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { url, state }
    }

    pub fn set_day(&self, day: Day) {
        self.state.lock().unwrap().day = day;
    }

    pub fn set_permissions(&self, user: &str, names: Vec<&'static str>) {
        self.state.lock().unwrap().permissions.insert(user.to_owned(), names);
    }

    /// Gives a name to another user.
    pub fn set_id(&self, user: &str, id: &str) {
        self.state.lock().unwrap().ids.insert(user.into(), id.into());
    }

    /// Disables a user, as a login service does that says so with `x-user-active`.
    pub fn disable(&self, id: &str) {
        self.state.lock().unwrap().gone.insert(id.into());
    }

    /// Enables a user again.
    pub fn enable(&self, id: &str) {
        self.state.lock().unwrap().gone.remove(id);
    }

    /// Every request so far: request line, `Authorization` and body.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => authorization = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let (day, status, answer) = {
            let mut state = state.lock().unwrap();
            state
                .requests
                .push(format!("{} | {authorization} | {body}", line.trim_end()));
            let (status, answer) = answer(&state, &line, &body);
            (state.day, status, answer)
        };
        if day == Day::Silent {
            std::thread::sleep(Duration::from_secs(10));
        }
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            answer.len()
        );
        writer.write_all(format!("{head}\r\n{answer}").as_bytes()).ok()?;
    }
}

fn answer(state: &State, line: &str, body: &str) -> (&'static str, String) {
    match state.day {
        Day::Saturated => return ("503 Service Unavailable\r\nretry-after: 3", String::new()),
        Day::Broken => return ("500 Internal Server Error", "{}".into()),
        Day::Good | Day::Silent => {}
    }
    if line.starts_with("POST /login ") {
        let user = body
            .strip_prefix("username=")
            .and_then(|rest| rest.strip_suffix("&password=password"));
        return match user.filter(|user| state.permissions.contains_key(*user)) {
            Some(user) => {
                let id = state.ids.get(user).cloned().unwrap_or_else(|| format!("{user}-id"));
                match state.gone.contains(&id) {
                    false => ("200 OK", format!(r#"{{"userId":"{id}"}}"#)),
                    true => ("200 OK", r#"{"errorMsg":"User is disabled"}"#.into()),
                }
            }
            None => ("200 OK", r#"{"errorMsg":"password <invalid>"}"#.into()),
        };
    }
    let user = line
        .split(' ')
        .nth(1)
        .and_then(|path| path.strip_prefix("/getAllPermissionByUserId?userId="));
    if user.is_some_and(|id| state.gone.contains(id)) {
        return ("200 OK\r\nx-user-active: false", "[]".into());
    }
    let named = |id: &str| {
        let named = state.ids.iter().find(|(_, known)| *known == id);
        named
            .map(|(name, _)| name.clone())
            .or_else(|| Some(id.strip_suffix("-id")?.to_owned()))
    };
    match user.and_then(|id| state.permissions.get(&named(id)?)) {
        // What the original's LEFT JOIN gives for a user without permissions.
        Some(names) if names.is_empty() => ("200 OK", r#"[{"name":null,"url":null}]"#.into()),
        Some(names) => {
            let rows: Vec<String> = names
                .iter()
                .map(|name| format!(r#"{{"name":"{name}","description":"d","id":"1","url":"/service/demo/test"}}"#))
                .collect();
            ("200 OK", format!("[{}]", rows.join(",")))
        }
        None => ("404 Not Found", String::new()),
    }
}
