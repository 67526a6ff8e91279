//! A web server in this process: files as servers in the wild give them, and faults on demand. Owns what is sent, byte by
//! byte; runs on threads of its own, so blocking tests, several runtimes and child processes can use it.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use md5::{Digest, Md5};

/// A file, and how it is given.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its `ETag`, with its quotes.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub modified: Option<String>,
    /// Whether parts of it are given; everything is otherwise, whatever is asked for.
    pub ranges: bool,
    /// How its length is told.
    pub length: Length,
    /// Its `Content-Encoding`.
    pub encoding: Option<String>,
    /// Where the server leads instead.
    pub lead: Option<String>,
}

/// How the length of an answer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// Before it.
    #[default]
    Said,
    /// By its end.
    Chunked,
    /// By the end of the connection.
    Unsaid,
}

/// What a request meets instead of the file.
#[derive(Debug, Clone)]
pub enum Met {
    /// Another status, and how many seconds the server wants to be left alone.
    Status(u16, Option<u64>),
    /// So many bytes of the answer, and the end of the connection.
    Cut(usize),
    /// The end of the connection.
    Nothing,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// Headers, with names in lower case.
    pub headers: HashMap<String, String>,
}

impl Asked {
    /// The part that was asked for.
    pub fn range(&self) -> Option<&str> {
        self.headers.get("range").map(String::as_str)
    }
}

impl Page {
    /// A file of these bytes with an `ETag` of them, in parts if they are asked for.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self {
            etag: Some(format!("\"{}\"", hex::encode(Md5::digest(&bytes)))),
            ranges: true,
            bytes,
            ..Self::default()
        }
    }
}

#[derive(Debug, Default)]
struct State {
    pages: HashMap<String, Page>,
    meet: HashMap<String, VecDeque<(Met, Option<Page>)>>,
    asked: Vec<Asked>,
}

/// A running server; stopped when dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
}

impl WebServer {
    /// Starts a server without files, on a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let server = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
            stopped: Arc::default(),
        };
        let (state, stopped) = (Arc::clone(&server.state), Arc::clone(&server.stopped));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&state);
                // An error is a client that went away.
                thread::spawn(move || stream.and_then(|stream| answer(&state, stream)));
            }
        });
        Ok(server)
    }

    /// The address of a path and query.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// Puts a file there.
    pub fn put(&self, target: &str, page: Page) {
        self.lock().pages.insert(target.to_owned(), page);
    }

    /// What the next request for it meets, behind what was said before.
    pub fn meet(&self, target: &str, met: Met) {
        self.meet_and_put(target, met, None);
    }

    /// As [`WebServer::meet`]; then the file is another.
    pub fn meet_and_put(&self, target: &str, met: Met, then: Option<Page>) {
        let mut state = self.lock();
        let queue = state.meet.entry(target.to_owned()).or_default();
        queue.push_back((met, then));
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // So that the thread looks.
        drop(TcpStream::connect(self.address));
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &Mutex<State>, stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let asked = Asked { target, headers };
    let (page, met) = {
        let mut state = lock(state);
        let page = state.pages.get(&asked.target).cloned();
        let met = state
            .meet
            .get_mut(&asked.target)
            .and_then(VecDeque::pop_front);
        let (met, then) = met.map_or((None, None), |(met, then)| (Some(met), then));
        if let Some(then) = then {
            state.pages.insert(asked.target.clone(), then);
        }
        state.asked.push(asked.clone());
        (page, met)
    };
    let head = |status: u16, more: String| {
        format!("HTTP/1.1 {status} Something\r\nConnection: close\r\n{more}\r\n").into_bytes()
    };
    let empty = "Content-Length: 0\r\n".to_owned();
    let (whole, cut) = match (met, page) {
        (Some(Met::Nothing), _) => return Ok(()),
        (Some(Met::Status(status, after)), _) => {
            let after = after.map(|seconds| format!("Retry-After: {seconds}\r\n"));
            (head(status, empty + &after.unwrap_or_default()), None)
        }
        (_, None) => (head(404, empty), None),
        (None, Some(Page { lead: Some(to), .. })) => {
            (head(302, format!("{empty}Location: {to}\r\n")), None)
        }
        (met, Some(page)) => {
            let (status, headers, body) = given(&page, asked.range());
            let mut whole = head(status, headers);
            let cut = match met {
                Some(Met::Cut(bytes)) => Some(whole.len() + bytes),
                _ => None,
            };
            whole.extend(body);
            (whole, cut)
        }
    };
    let end = cut.unwrap_or(whole.len()).min(whole.len());
    let mut stream = stream;
    stream.write_all(&whole[..end])
}

/// Status, headers and body of an answer with a file or a part of it.
fn given(page: &Page, range: Option<&str>) -> (u16, String, Vec<u8>) {
    let mut headers = String::new();
    let said = [
        ("ETag", &page.etag),
        ("Last-Modified", &page.modified),
        ("Content-Encoding", &page.encoding),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            headers += &format!("{name}: {value}\r\n");
        }
    }
    let all = page.bytes.len();
    let range = range.filter(|_| page.ranges).and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let last: usize = last.parse().unwrap_or(usize::MAX);
        Some((first.parse::<usize>().ok()?, last))
    });
    let (status, body) = match range {
        Some((first, _)) if first >= all => {
            headers += &format!("Content-Range: bytes */{all}\r\nContent-Length: 0\r\n");
            return (416, headers, Vec::new());
        }
        Some((first, last)) => {
            let end = last.saturating_add(1).min(all);
            headers += &format!("Content-Range: bytes {first}-{}/{all}\r\n", end - 1);
            (206, page.bytes[first..end].to_vec())
        }
        None => (200, page.bytes.clone()),
    };
    let body = match page.length {
        Length::Said => {
            headers += &format!("Content-Length: {}\r\n", body.len());
            body
        }
        Length::Chunked => {
            headers += "Transfer-Encoding: chunked\r\n";
            let mut chunks = Vec::new();
            for chunk in body.chunks(1000) {
                chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                chunks.extend(chunk);
                chunks.extend(b"\r\n");
            }
            chunks.extend(b"0\r\n\r\n");
            chunks
        }
        Length::Unsaid => body,
    };
    (status, headers, body)
}
