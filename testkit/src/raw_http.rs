//! Requests as bytes, for what no proper client would send: half of one, one of a web page, one of another user. Owns sending
//! and reading; what is expected is the tests'.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::process::wait_for;

/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends these bytes and reads until the other side has nothing more to say. Nothing is an answer too: the connection was
/// closed.
///
/// # Errors
/// When the address cannot be connected to.
pub fn exchange(address: &str, bytes: &str) -> anyhow::Result<String> {
    let mut stream = connect(address)?;
    // Whoever is refused may not even be heard.
    let _ = stream.write_all(bytes.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A request of HTTP/1.1 without a body, with these lines in its head beside `Connection`.
///
/// # Errors
/// When the address cannot be connected to.
pub fn request(address: &str, line: &str, head: &[&str]) -> anyhow::Result<String> {
    let head: String = head.iter().map(|line| format!("{line}\r\n")).collect();
    exchange(
        address,
        &format!("{line} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"),
    )
}

/// What a process of the user `nobody` is answered to a request for `/healthz`. `None`, after saying so, where no such
/// process can be started.
///
/// # Errors
/// When it cannot be found out.
pub fn asked_by_nobody(address: &str) -> anyhow::Result<Option<String>> {
    let (host, port) = address.rsplit_once(':').context("no port")?;
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port}; \
         printf 'GET /healthz HTTP/1.1\\r\\nHost: {address}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let asked = Command::new("setpriv")
        .args(nobody)
        .args(["bash", "-c", &script])
        .output();
    let asked = match asked {
        Ok(asked) if String::from_utf8_lossy(&asked.stderr).contains("setpriv:") => None,
        Ok(asked) => Some(asked),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if asked.is_none() {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("SKIPPED: no process of another user can be started here");
        }
    }
    Ok(asked.map(|asked| String::from_utf8_lossy(&asked.stdout).into_owned()))
}

/// A request without its end.
pub const HALF_REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ";

/// Connections on which something was begun and is not ended.
#[derive(Debug)]
pub struct HalfSent(Vec<TcpStream>);

impl HalfSent {
    /// So many of them, each with these bytes.
    ///
    /// # Errors
    /// When the address cannot be connected to.
    pub fn open(address: &str, count: usize, begun: &str) -> anyhow::Result<Self> {
        let half = |_| {
            let mut stream = connect(address)?;
            // One that is not wanted may be closed already.
            let _ = stream.write_all(begun.as_bytes());
            Ok(stream)
        };
        (0..count)
            .map(half)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Waits until the other side has closed them all.
    ///
    /// # Errors
    /// When it has not in time.
    pub fn wait_until_closed(mut self) -> anyhow::Result<()> {
        for stream in &mut self.0 {
            stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        }
        wait_for("the end of half-sent requests", || {
            self.0.retain_mut(|stream| !is_closed(stream));
            self.0.is_empty().then_some(())
        })
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 1024];
    match stream.read(&mut answer) {
        Ok(read) => read == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
        ),
    }
}

fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}
