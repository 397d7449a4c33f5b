//! What stands around a proxy: Entra ID, an upstream that costs next to nothing, and who calls.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
};

use entra_emulator::Emulator;

use super::process::Server;

/// So many bytes more than the emulator's own claims make a token as long as Entra ID's, of 1.6 KB.
const MORE: usize = 180;

pub(crate) struct Rig {
    pub(crate) emulator: Emulator,
    pub(crate) folder: PathBuf,
    pub(crate) upstream: u16,
    pub(crate) tokens: usize,
    pub(crate) token_bytes: usize,
    _upstream: Server,
}

impl Rig {
    pub(crate) async fn start(tokens: usize) -> Self {
        let folder = std::env::temp_dir().join(format!("obo-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let emulator = Emulator::builder().start().await.unwrap();
        emulator.grant_consent("alice");
        eprintln!("signing {tokens} tokens");
        let mut file = fs::File::create(folder.join("tokens")).unwrap();
        let mut token_bytes = 0;
        for number in 0..tokens {
            let token = emulator.token().user("alice").claim("number", number);
            let token = token.claim("more", "m".repeat(MORE));
            let token = token.expires_in(12 * 3_600).sign();
            token_bytes = token.len();
            writeln!(file, "{token}").unwrap();
        }
        fs::write(folder.join("public.pem"), emulator.public_key_pem()).unwrap();
        fs::write(folder.join("wrk.lua"), include_str!("wrk.lua")).unwrap();
        let upstream = free_port();
        let configuration = include_str!("upstream.nginx.conf")
            .replace("@FOLDER@", folder.to_str().unwrap())
            .replace("@PORT@", &upstream.to_string());
        let path = folder.join("upstream.conf");
        fs::write(&path, configuration).unwrap();
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&folder).arg("-c").arg(&path);
        let server = Server::start(nginx.stderr(Stdio::null()));
        Self {
            emulator,
            folder,
            upstream,
            tokens,
            token_bytes,
            _upstream: server,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
