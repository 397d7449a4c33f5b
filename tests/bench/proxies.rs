//! The gateway and its peers, each as it is started for a measurement.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use entra_emulator::{Endpoint, demo as ids};
use tokio::{net::TcpStream, time};

use super::{
    figures::Sample,
    load,
    process::{Cpu, Server, memory},
    rig::{Rig, free_port},
    warm,
};

/// How long one may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What HAProxy is told, so that it judges a token by what can be told without asking anybody.
const JWT: &str = r#"http-request set-var(txn.token) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.token),jwt_header_query('$.alg') -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify(RS256,"@FOLDER@/public.pem") -m int 1 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.aud') -m str @AUDIENCE@ }
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless { var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }"#;

pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    port: u16,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
}

impl Proxy {
    pub(crate) fn all(rig: &Rig, binary: &Path) -> Vec<Self> {
        let upstream = format!("http://127.0.0.1:{}", rig.upstream);
        let socket = format!("unix:{}", rig.file("upstream.sock").display());
        let gateway = |name, does, upstream: &str, workers, more: &[&str]| {
            let gateway = Self::gateway(rig, binary, upstream, workers, more);
            Self {
                name,
                does,
                ..gateway
            }
        };
        vec![
            Self::haproxy(rig, "HAProxy", "forwards, checks nothing", ""),
            Self::nginx(rig),
            gateway(
                "obo-gateway",
                "checks, exchanged token from its cache, injects",
                &upstream,
                2,
                &[],
            ),
            gateway(
                "obo-gateway, access log",
                "the same, and a line of JSON for each request",
                &upstream,
                2,
                &["--log-access", "--log-format", "json"],
            ),
            gateway(
                "obo-gateway, one worker",
                "no access log, one worker",
                &upstream,
                1,
                &[],
            ),
            gateway(
                "obo-gateway, unix socket",
                "no access log, two workers, the upstream behind a unix socket",
                &socket,
                2,
                &[],
            ),
            Self::haproxy(
                rig,
                "HAProxy, jwt_verify",
                "checks signature, audience and end each time; no exchange",
                JWT,
            ),
        ]
    }

    /// The gateway under its plain name.
    pub(crate) fn gateway(
        rig: &Rig,
        binary: &Path,
        upstream: &str,
        workers: usize,
        more: &[&str],
    ) -> Self {
        let port = free_port();
        let arguments = [
            ("--listen", format!("127.0.0.1:{port}")),
            ("--upstream", upstream.to_owned()),
            ("--authority", rig.emulator.url().to_owned()),
            ("--tenant", ids::CONTOSO.to_owned()),
            ("--client-id", ids::API_CLIENT_ID.to_owned()),
            ("--scope", ids::API_SCOPE.to_owned()),
            ("--workers", workers.to_string()),
        ];
        let mut arguments: Vec<OsString> = arguments
            .into_iter()
            .flat_map(|(name, value)| [name.into(), value.into()])
            .collect();
        arguments.push("--allow-http-loopback".into());
        arguments.extend(more.iter().map(OsString::from));
        Self {
            name: "obo-gateway",
            does: "",
            port,
            program: binary.into(),
            arguments,
            environment: vec![("AZURE_CLIENT_SECRET", ids::API_CLIENT_SECRET.to_owned())],
        }
    }

    fn nginx(rig: &Rig) -> Self {
        let (port, name) = (free_port(), "nginx");
        let path = write(rig, "nginx.conf", include_str!("proxy.nginx.conf"), port);
        Self {
            name,
            does: "forwards, checks nothing",
            port,
            program: "nginx".into(),
            arguments: vec!["-p".into(), rig.folder.clone().into(), "-c".into(), path],
            environment: Vec::new(),
        }
    }

    fn haproxy(rig: &Rig, name: &'static str, does: &'static str, checks: &str) -> Self {
        let port = free_port();
        let text = include_str!("proxy.haproxy.cfg").replace("@CHECKS@", checks);
        let path = write(rig, &format!("haproxy-{port}.cfg"), &text, port);
        Self {
            name,
            does,
            port,
            program: "haproxy".into(),
            arguments: vec!["-db".into(), "-f".into(), path],
            environment: Vec::new(),
        }
    }

    /// Starts it, sends each token once, and then measures.
    pub(crate) async fn measure(&self, rig: &Rig, seconds: usize) -> Sample {
        let server = self.start(rig).await;
        let pid = server.pid();
        let idle = memory(pid);
        warm::up(rig, self.port).await;
        // With as many connections as are measured.
        load::send(rig, self.port, 2).await;
        let exchanged = rig.emulator.count(Endpoint::Token);
        let before = Cpu::of(pid);
        let seen = load::send(rig, self.port, seconds).await;
        let cpu = Cpu::of(pid).since(before);
        assert_eq!(
            rig.emulator.count(Endpoint::Token),
            exchanged,
            "what is measured is all in the cache"
        );
        Sample::new(&seen, cpu, idle, memory(pid))
    }

    /// As it was told, and no sooner ready than it says.
    pub(crate) fn spawn(&self, rig: &Rig) -> Server {
        let log = fs::File::create(rig.file("proxy.log")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Server::start(command.stderr(log))
    }

    async fn start(&self, rig: &Rig) -> Server {
        let server = self.spawn(rig);
        let listens = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        if time::timeout(PATIENCE, listens).await.is_err() {
            let log = fs::read_to_string(rig.file("proxy.log")).unwrap_or_default();
            panic!("{} does not listen: {log}", self.name);
        }
        server
    }
}

fn write(rig: &Rig, name: &str, text: &str, port: u16) -> OsString {
    let text = text
        .replace("@FOLDER@", rig.folder.to_str().unwrap())
        .replace("@PORT@", &port.to_string())
        .replace("@UPSTREAM@", &rig.upstream.to_string())
        .replace("@AUDIENCE@", ids::API_CLIENT_ID)
        // As long as the tokens that the gateway injects.
        .replace("@FIXED@", &"d".repeat(rig.token_bytes));
    let path = rig.file(name);
    fs::write(&path, text).unwrap();
    path.into()
}
