//! Whose process is at the other end of a connection within this machine, by the system's own table of sockets. Owns how the
//! table is read; who is answered is decided in `serve`.
//!
//! Unix sockets would say it by themselves, but neither Ballista nor Arrow Flight can be told to connect to one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::sleep;

/// Whether this system can tell.
pub(super) const CAN_TELL: bool = cfg!(target_os = "linux");

/// Sockets of this process's network.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The state of a socket that is connected, as the table has it.
const ESTABLISHED: &str = "01";

/// The table is not read at one moment, so a line may be missed while others come and go.
const ATTEMPTS: u32 = 20;
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The sockets of this process's network. However many ask at once, the table is read by one of them for all: it has a line
/// for every connection of the machine, and each reading takes a file.
#[derive(Debug, Default)]
pub(super) struct Sockets(Arc<Mutex<Option<Table>>>);

#[derive(Debug)]
struct Table {
    /// What has connected before this is in it.
    begun: Instant,
    /// The users of sockets, by their own addresses and those of their peers.
    users: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl Sockets {
    /// The user whose process has the socket at `peer` of a connection to `own`; `None` if nobody has it, or has it no more.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn user_of(
        &self,
        peer: SocketAddr,
        own: SocketAddr,
    ) -> io::Result<Option<u32>> {
        let sought = (canonical(peer), canonical(own));
        let mut found = Ok(None);
        for _ in 0..ATTEMPTS {
            found = self.look_up(sought).await;
            if let Ok(Some(_)) = found {
                break;
            }
            sleep(RETRY_DELAY).await;
        }
        found
    }

    async fn look_up(&self, sought: (SocketAddr, SocketAddr)) -> io::Result<Option<u32>> {
        let asked = Instant::now();
        let mut held = Arc::clone(&self.0).lock_owned().await;
        if held.as_ref().is_none_or(|table| table.begun < asked) {
            // The lock goes with the reading, which ends also when nobody waits for it any more.
            let read = tokio::task::spawn_blocking(move || {
                *held = Some(Table::read()?);
                Ok::<_, io::Error>(held)
            });
            held = read.await.map_err(io::Error::other)??;
        }
        Ok(held
            .as_ref()
            .and_then(|table| table.users.get(&sought).copied()))
    }
}

impl Table {
    fn read() -> io::Result<Self> {
        let begun = Instant::now();
        let mut users = HashMap::new();
        for table in TABLES {
            let table = match File::open(table) {
                // A system without IPv6.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                table => BufReader::new(table?),
            };
            for line in table.lines() {
                if let Some(line) = Line::parse(&line?)
                    && line.state == ESTABLISHED
                {
                    users.insert((canonical(line.own), canonical(line.peer)), line.user);
                }
            }
        }
        Ok(Self { begun, users })
    }
}

/// A socket that a process has.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    own: SocketAddr,
    peer: SocketAddr,
    state: String,
    user: u32,
}

impl Line {
    /// `None` for the heading, and for a socket that no process has any more: its user would read as root's.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        fields.next()?;
        let own = address(fields.next()?)?;
        let peer = address(fields.next()?)?;
        let state = fields.next()?.to_owned();
        let user = fields.nth(3)?.parse().ok()?;
        let inode: u64 = fields.nth(1)?.parse().ok()?;
        (inode != 0).then_some(Self {
            own,
            peer,
            state,
            user,
        })
    }
}

/// An IPv4 address is another one in the table of IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `0100007F:C352` is 127.0.0.1:50002 where the lowest byte of a number comes first.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len())
        .step_by(8)
        .map(|at| {
            let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect();
    let bytes = words?.concat();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::V4(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_table_is_a_socket_and_its_user() {
        let line = "   7: 0100007F:C352 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        let line = Line::parse(line).unwrap();
        assert_eq!(line.user, 1000);
        assert_eq!(line.own, "127.0.0.1:50002".parse().unwrap());
        assert_eq!(line.peer, "127.0.0.1:8080".parse().unwrap());
        let mapped = "0000000000000000FFFF00000100007F:C352";
        assert_eq!(
            canonical(address(mapped).unwrap()),
            "127.0.0.1:50002".parse().unwrap()
        );
        let own = "00000000000000000000000001000000:C352";
        assert_eq!(address(own), Some("[::1]:50002".parse().unwrap()));
    }

    #[test]
    fn a_socket_that_no_process_has_is_nobodys() {
        let waits = "   7: 0100007F:C352 0100007F:1F90 06 00000000:00000000 03:00000E4D 00000000     0        0 0 3";
        assert_eq!(Line::parse(waits), None);
        for broken in [
            "",
            "sl local_address rem_address st",
            "1: x y z",
            "7: 01:1 01:1 01",
        ] {
            assert_eq!(Line::parse(broken), None);
        }
    }

    #[tokio::test]
    async fn this_process_is_found_at_both_ends_of_its_own_connections() {
        let own = nix::unistd::geteuid().as_raw();
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host).await else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let (_server, peer) = listener.accept().await.unwrap();
            let sockets = Sockets::default();
            assert_eq!(sockets.user_of(peer, address).await.unwrap(), Some(own));
            drop(client);
            assert_eq!(sockets.user_of(peer, address).await.unwrap(), None);
        }
    }
}
