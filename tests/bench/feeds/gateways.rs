//! Simulated gateways: each holds a poll of the feed on a connection of its own, and asks again when it is answered.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
};
use xtask::clock;

/// All of them, on one thread.
pub struct Gateways {
    shared: Arc<Mutex<Shared>>,
    count: usize,
}

#[derive(Default)]
struct Shared {
    /// How many have had their first document.
    started: usize,
    /// The token whose revocation is waited for.
    expected: String,
    /// When who was told of it.
    told: Vec<Instant>,
    /// What went wrong first.
    failed: Option<String>,
}

impl Gateways {
    /// Connects them.
    pub fn start(port: u16, count: usize) -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("gateways".into()).spawn(move || {
            runtime.block_on(async {
                let mut all = tokio::task::JoinSet::new();
                for _ in 0..count {
                    all.spawn(poll(port, Arc::clone(&theirs)));
                }
                while let Some(ended) = all.join_next().await {
                    let why = match ended {
                        Ok(Err(error)) => format!("{error:#}"),
                        Ok(Ok(())) => "a poll ended".into(),
                        Err(error) => error.to_string(),
                    };
                    lock(&theirs).failed.get_or_insert(why);
                }
            });
        })?;
        Ok(Self { shared, count })
    }

    /// Waits until each has a snapshot.
    pub fn wait_until_all_poll(&self, at_most: Duration) -> Result<()> {
        self.wait(at_most, |shared| shared.started)
    }

    /// From now on, who is told of this token is noted.
    pub fn expect(&self, token_id: &str) {
        let mut shared = lock(&self.shared);
        token_id.clone_into(&mut shared.expected);
        shared.told.clear();
    }

    /// When each was told, once all were.
    pub fn told(&self, at_most: Duration) -> Result<Vec<Instant>> {
        self.wait(at_most, |shared| shared.told.len())?;
        Ok(std::mem::take(&mut lock(&self.shared).told))
    }

    fn wait(&self, at_most: Duration, count: impl Fn(&Shared) -> usize) -> Result<()> {
        let deadline = clock::now() + at_most;
        loop {
            let shared = lock(&self.shared);
            if let Some(failed) = &shared.failed {
                bail!("a simulated gateway failed: {failed}");
            }
            let so_many = count(&shared);
            drop(shared);
            if so_many >= self.count {
                return Ok(());
            }
            ensure!(
                clock::now() < deadline,
                "only {so_many} of {} within {at_most:?}",
                self.count
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls for as long as the program runs.
async fn poll(port: u16, shared: Arc<Mutex<Shared>>) -> Result<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
    connection.set_nodelay(true)?;
    let credentials = BASE64_STANDARD.encode("gateway:secret");
    let mut version: Option<String> = None;
    let mut buffer = Vec::new();
    loop {
        let after = version.as_ref().map(|version| format!("&after={version}"));
        let request = format!(
            "GET /feed/tokens?wait=25{} HTTP/1.1\r\nhost: auth-server\r\nauthorization: Basic {credentials}\r\n\r\n",
            after.unwrap_or_default()
        );
        connection.write_all(request.as_bytes()).await?;
        let (status, body) = answer(&mut connection, &mut buffer).await?;
        let at = clock::now();
        match status {
            304 => continue,
            200 => {}
            status => bail!("the feed answered {status}"),
        }
        let document: Value = serde_json::from_slice(&body)?;
        let mut shared = lock(&shared);
        if version.is_none() {
            shared.started += 1;
        }
        let revoked = document["revoked_tokens"].as_array();
        if revoked.is_some_and(|revoked| revoked.iter().any(|entry| entry[0] == *shared.expected)) {
            shared.told.push(at);
        }
        version = Some(document["version"].as_str().context("no version")?.to_owned());
    }
}

/// The next answer on the connection: its status and its body.
async fn answer(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, Vec<u8>)> {
    buffer.clear();
    loop {
        if connection.read_buf(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(buffer)? else {
            continue;
        };
        let status = head.code.context("no status")?;
        let body = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .map_or(Ok(0), |header| {
                std::str::from_utf8(header.value)?
                    .parse::<usize>()
                    .map_err(anyhow::Error::from)
            })?;
        while buffer.len() < length + body {
            if connection.read_buf(buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        return Ok((status, buffer.split_off(length)));
    }
}
