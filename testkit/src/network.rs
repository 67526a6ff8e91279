//! Hosts on this machine: network namespaces on a bridge, each with an address and a link that can be cut. Owns their
//! names and addresses; what runs in them is the caller's.

use std::process::Command;

use anyhow::Context;

/// A bridge, this machine's address on it, and hosts.
#[derive(Debug)]
pub struct Network {
    /// Names of everything begin with this; short, because a device's name has 15 letters at most.
    name: String,
    /// The first three bytes of every address.
    subnet: String,
    hosts: usize,
}

impl Network {
    /// A network without hosts. `None`, after saying so, where this process may not make one.
    ///
    /// # Errors
    /// When making it fails otherwise.
    pub fn new() -> anyhow::Result<Option<Self>> {
        let pid = std::process::id();
        let network = Self {
            name: format!("sw{pid}"),
            subnet: format!("10.{}.{}", 20 + pid / 250 % 200, pid % 250),
            hosts: 0,
        };
        let bridge = network.bridge();
        if let Err(error) = ip(&["link", "add", &bridge, "type", "bridge"]) {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("SKIPPED: no network of hosts can be made here: {error:#}");
            }
            return Ok(None);
        }
        let address = format!("{}/24", network.address());
        ip(&["addr", "add", &address, "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        Ok(Some(network))
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn link(&self, host: usize) -> String {
        format!("{}h{host}", self.name)
    }

    /// The namespace of a host, for `ip netns exec`.
    pub fn namespace(&self, host: usize) -> String {
        self.link(host)
    }

    /// This machine's address in the network.
    pub fn address(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// The address of a host.
    pub fn address_of(&self, host: usize) -> String {
        format!("{}.{}", self.subnet, host + 2)
    }

    /// One more host; gives its number.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn add_host(&mut self) -> anyhow::Result<usize> {
        let host = self.hosts;
        let (name, link) = (self.namespace(host), self.link(host));
        ip(&["netns", "add", &name])?;
        self.hosts += 1;
        ip(&[
            "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name,
        ])?;
        ip(&["link", "set", &link, "master", &self.bridge(), "up"])?;
        let address = format!("{}/24", self.address_of(host));
        ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Cuts the link of a host: packets to and from it are lost, and nobody is told.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn cut(&self, host: usize) -> anyhow::Result<()> {
        ip(&["link", "set", &self.link(host), "down"])
    }

    /// Mends the link of a host.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn mend(&self, host: usize) -> anyhow::Result<()> {
        ip(&["link", "set", &self.link(host), "up"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            // A namespace takes its end of the link along, and that the other.
            drop(ip(&["netns", "del", &self.namespace(host)]));
        }
        drop(ip(&["link", "del", &self.bridge()]));
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run `ip` (package iproute2)")?;
    anyhow::ensure!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
