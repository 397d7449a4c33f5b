//! What of a key stays in a process's memory once the key is in use. The process looks through all that it may write
//! to, so it is one of its own, and knows only in disguise what it looks for.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![expect(
    clippy::verbose_file_reads,
    reason = "what is read goes where there is room already"
)]

use std::{
    env,
    fs::{self, File},
    hint::black_box,
    io::{self, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entra_emulator::Signer;
use tower_obo::{ClientCertificate, Credential};

const FILE: &str = "OBO_TEST_WIPED_FILE";
const WANTED: &str = "OBO_TEST_WIPED_WANTED";
const KEEPS: &str = "OBO_TEST_WIPED_KEEPS";
const MASK: u8 = 0xa5;
const PIECE: usize = 32;

#[test]
fn nothing_of_a_key_in_a_pem_file_is_left_in_memory() {
    if let Some(file) = env::var_os(FILE) {
        return child(Path::new(&file));
    }
    let signer = Signer::generate().unwrap();
    let pkcs8 = signer.private_key_pem();
    let body: String = pkcs8
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = STANDARD.decode(&body).unwrap();
    // The key of PKCS#1 is the last member of that of PKCS#8.
    let pkcs1 = STANDARD.encode(&der[26..]);
    let wrapped: Vec<_> = (pkcs1.as_bytes().chunks(64).map(String::from_utf8_lossy)).collect();
    let wrapped = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n",
        wrapped.join("\n")
    );
    for (form, key, base64) in [("PKCS#8", &pkcs8, &body), ("PKCS#1", &wrapped, &pkcs1)] {
        let file = Temporary::new(&(signer.certificate_pem() + key));
        // Of the private exponent, and where it stands in its base64: in the middle of one line of it.
        let at = 64 * 9 + 16;
        let pieces = [&der[400..400 + PIECE], &base64.as_bytes()[at..at + PIECE]];
        let found = |keeps: bool| -> Vec<usize> {
            pieces
                .iter()
                .map(|piece| look(&file.0, piece, keeps))
                .collect()
        };
        // It finds what is there.
        assert!(found(true).iter().all(|found| *found > 0), "{form}");
        assert_eq!(found(false), [0, 0], "{form}: times in DER and in base64");
    }
}

/// How often a process that uses the file has this in its memory.
fn look(file: &Path, piece: &[u8], keeps: bool) -> usize {
    let masked: Vec<u8> = piece.iter().map(|byte| byte ^ MASK).collect();
    let child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "nothing_of_a_key_in_a_pem_file_is_left_in_memory",
        ])
        .arg("--nocapture")
        .env(FILE, file)
        .env(WANTED, STANDARD.encode(masked))
        .env(KEEPS, if keeps { "1" } else { "" })
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}");
    let found = said.split("found ").nth(1).unwrap();
    found.split_whitespace().next().unwrap().parse().unwrap()
}

fn child(file: &Path) {
    let masked = STANDARD.decode(env::var(WANTED).unwrap()).unwrap();
    let spacers = make_room();
    let mut memory = Memory::new();
    let credential = Credential::certificate(ClientCertificate::file(file));
    credential.check().unwrap();
    let keeps = env::var(KEEPS).is_ok_and(|keeps| !keeps.is_empty());
    let kept = keeps.then(|| {
        let text = fs::read_to_string(file).unwrap();
        let lines = text.rsplit("-----").nth(2).unwrap().lines();
        let der = STANDARD.decode(lines.collect::<String>()).unwrap();
        (text, der)
    });
    let found = memory.count(&masked);
    // Whatever is printed before it: the line ends with the number.
    let mut out = io::stdout();
    writeln!(out, "found {found} ").unwrap();
    black_box((credential, kept, spacers));
}

/// Leaves free blocks of every size, so that none that is given back later is soon overwritten: whoever wants another
/// size finds one that fits better. Between them stand blocks that are kept, or free ones would become one.
fn make_room() -> Vec<Vec<u8>> {
    let blocks = (64..4096).step_by(16).flat_map(|size| [size; 4]);
    let (rooms, spacers): (Vec<_>, _) = blocks
        .map(|size| (vec![1_u8; size], vec![1_u8; 24]))
        .unzip();
    drop(black_box(rooms));
    spacers
}

/// All memory that the process may write to. What is needed to look through it is there before there is a key.
struct Memory {
    maps: String,
    ranges: Vec<(u64, u64)>,
    piece: Vec<u8>,
}

impl Memory {
    fn new() -> Self {
        Self {
            maps: String::with_capacity(1024 * 1024),
            ranges: Vec::with_capacity(4096),
            piece: vec![0; 1024 * 1024],
        }
    }

    fn count(&mut self, masked: &[u8]) -> usize {
        let mut maps = File::open("/proc/self/maps").unwrap();
        maps.read_to_string(&mut self.maps).unwrap();
        self.ranges.extend(self.maps.lines().filter_map(writable));
        let memory = File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        for (from, to) in &self.ranges {
            let mut at = *from;
            // What begins in one piece and ends in the next is found in the latter.
            while at + (PIECE as u64) < *to {
                // A mapping that has gone meanwhile, or that nobody may read, holds nothing of ours.
                let read = memory.read_at(&mut self.piece, at).unwrap_or(0);
                let read = read.min(usize::try_from(*to - at).unwrap());
                if read < PIECE {
                    break;
                }
                found += count(&self.piece[..read], masked);
                at += (read - PIECE + 1) as u64;
            }
        }
        found
    }
}

/// From where to where a line of `/proc/self/maps` goes, if it is about memory that may be written to.
fn writable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let number = |hex| u64::from_str_radix(hex, 16).ok();
    rest.starts_with("rw")
        .then_some((number(from)?, number(to)?))
}

fn count(memory: &[u8], masked: &[u8]) -> usize {
    let first = masked[0] ^ MASK;
    let is_it = |at: &usize| {
        let there = memory.get(*at..*at + PIECE);
        there.is_some_and(|there| there.iter().zip(masked).all(|(a, b)| a ^ MASK == *b))
    };
    let begins = memory
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == first);
    begins.map(|(at, _)| at).filter(is_it).count()
}

struct Temporary(PathBuf);

impl Temporary {
    fn new(text: &str) -> Self {
        let path = env::temp_dir().join(format!("tower-obo-{}.pem", uuid::Uuid::new_v4()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
