//! Reading the small files that a person names: definitions, specs, secrets. Owns what is read as such a file.
//!
//! Opening a FIFO waits for somebody who writes to it, a device may never end: only regular files are read, and no
//! more of them than such a file can hold.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The largest file that is read, bytes.
const LIMIT: u64 = 16 << 20;

/// The text of a regular file, or of one that a symbolic link leads to. Never waits for another process.
///
/// # Errors
/// What the system says, and with a message of ours: what is no regular file, is larger than 16 MiB, or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the file is larger than 16 MiB; this reads definitions, specs and secrets, not data",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the file is not UTF-8 text: byte {at} begins no character");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// Opens a regular file for reading.
///
/// # Errors
/// What the system says, and for anything but a regular file what it is instead.
pub fn open(path: &Path) -> io::Result<File> {
    // Looked at before it is opened, as to open a device may already do something; and again, as it may have changed.
    require(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    require(&file.metadata()?)?;
    Ok(file)
}

/// Whether this is a regular file.
///
/// # Errors
/// What it is instead.
pub fn require(metadata: &std::fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "of another kind"
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {found}, not a regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(path: &Path) -> String {
        read_text(path).unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        assert_eq!(error(&fifo), "it is a FIFO, not a regular file");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(error(&socket), "it is a socket, not a regular file");
        assert_eq!(error(folder.path()), "it is a folder, not a regular file");
        assert_eq!(
            error(Path::new("/dev/zero")),
            "it is a device, not a regular file"
        );
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        assert_eq!(error(&link), "it is a FIFO, not a regular file");

        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_text(&link).unwrap(), "text");
        std::fs::write(&file, [b'a', 0xff]).unwrap();
        assert!(error(&file).contains("byte 1 begins no character"));
        File::create(&file).unwrap().set_len(LIMIT + 1).unwrap();
        assert!(error(&file).contains("larger than 16 MiB"));
    }
}
