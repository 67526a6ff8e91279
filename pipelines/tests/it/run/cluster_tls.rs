//! Processes that know each other by certificates: the same results, and nothing for anybody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::certificates::{Authority, NAME};
use testkit::cluster::{Cluster, http_get};

use super::cluster::{SORTED, readings};
use super::launchpad::workspace;
use super::published::contents;

#[test]
fn processes_that_show_certificates_give_the_same_bytes_and_nothing_to_strangers()
-> anyhow::Result<()> {
    let authority = Authority::new()?;
    let workspace = workspace()?;
    let folder = workspace.path().join("certificates");
    authority.issue(&folder, NAME)?;
    let binary = env!("CARGO_BIN_EXE_pipelines");
    let Some(cluster) = Cluster::start_with_certificates(binary, 2, 1, &folder)? else {
        return Ok(());
    };
    let address = cluster.address();
    readings(&workspace, 4, 2_000)?;
    workspace.write("p.sql", SORTED)?;
    workspace.run(["run", "p.sql"])?.expect(0, &[]);
    let table = workspace.path().join("table");
    let here = contents(&table)?;

    let on_cluster = [
        "run",
        "p.sql",
        "--mode",
        "cluster",
        "--cluster",
        &address,
        "--restart",
    ];
    let without = workspace.run(on_cluster)?;
    without.expect(6, &["does not answer", "asks for certificates"]);
    let folder_text = folder.display().to_string();
    let as_member = on_cluster
        .into_iter()
        .chain(["--cluster-tls", &folder_text]);
    let again = || -> anyhow::Result<()> {
        std::fs::remove_dir_all(&table)?;
        std::fs::remove_dir_all(workspace.path().join(".table.spillway"))?;
        let run = workspace.run(as_member.clone())?;
        assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
        assert_eq!(contents(&table)?, here);
        Ok(())
    };
    again()?;

    assert_eq!(http_get(&address, "/api/executors"), None);
    for port in [cluster.executor_port(0), cluster.executor_tasks_port(0)] {
        assert_eq!(said_to_strangers(port)?, None, "port {port}");
    }

    // Renewed by an authority that took over from the first, while everything runs.
    Authority::new()?.issue(&folder, NAME)?;
    again()
}

/// What a server says to who speaks HTTP/2 without certificates: its settings, if it is one for everybody.
fn said_to_strangers(port: u16) -> anyhow::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let mut said = vec![0; 9];
    match stream.read_exact(&mut said) {
        // A frame of settings begins with its length and its kind, 4. An alert of TLS does not.
        Ok(()) => Ok((said[3] == 4).then_some(said)),
        Err(_) => Ok(None),
    }
}
