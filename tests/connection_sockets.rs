//! A server with real sockets, in this process: TLS, slow and stuck clients, limits, alarms,
//! heartbeats, shutting down, the management pages.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use warren::amqp::encode;
use warren::amqp::frame::{self, FrameKind};
use warren::amqp::method::{Method, basic, channel, connection, queue};
use warren::amqp::table::FieldTable;
use warren::auth::Users;
use warren::broker::{Alarms, Broker};
use warren::connection::{Limits, Settings};
use warren::net::{ClientCertificate, NetSettings, Protocol, Server, TlsFiles};

const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// How long anything may take that does happen in the end.
const PATIENCE: Duration = Duration::from_secs(20);

struct Site {
    broker: Arc<Broker>,
    server: Server,
}

impl Site {
    fn start(net: NetSettings) -> Self {
        let broker = Broker::new(Users::with_guest());
        let settings = Settings::new(Limits::default(), "test");
        let server = Server::start(&broker, settings, net).expect("it starts");
        Self { broker, server }
    }

    async fn connect(&self) -> TcpStream {
        let address = self.server.address(Protocol::Amqp).expect("it listens");
        TcpStream::connect(address).await.expect("it accepts")
    }

    /// A client with channel 1 open.
    async fn client(&self) -> Client<TcpStream> {
        let mut client = Client::new(self.connect().await);
        client.open(0).await;
        client
    }

    async fn tls(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let address = self.server.address(Protocol::Amqps).expect("it listens");
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
    }
}

fn net() -> NetSettings {
    NetSettings {
        listen: vec!["127.0.0.1:0".into()],
        listen_tls: Vec::new(),
        management: vec!["127.0.0.1:0".into()],
        tls: None,
        backlog: 128,
        max_connections: 100,
        high_water_bytes: 1 << 20,
        write_timeout: Duration::from_secs(600),
        lookouts: 1,
        shutdown_timeout: PATIENCE,
    }
}

struct Client<S> {
    stream: S,
    received: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Method(u16, Method),
    Heartbeat,
    Content(FrameKind, Vec<u8>),
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    async fn send(&mut self, channel: u16, method: impl Into<Method>) {
        let mut bytes = Vec::new();
        encode::method_frame(&mut bytes, channel, &method.into());
        self.send_bytes(&bytes).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        sent.expect("the broker reads")
            .expect("the broker is there");
        self.stream.flush().await.expect("the broker is there");
    }

    async fn hear(&mut self) -> Heard {
        loop {
            if let Some((frame, used)) = frame::frame(&self.received, 0).expect("a frame") {
                let heard = match frame.kind {
                    FrameKind::Method => {
                        Heard::Method(frame.channel, Method::decode(frame.payload).expect("one"))
                    }
                    FrameKind::Heartbeat => Heard::Heartbeat,
                    kind => Heard::Content(kind, frame.payload.to_vec()),
                };
                self.received.drain(..used);
                return heard;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
            match read.expect("the broker says something") {
                Ok(1..) => {}
                Ok(0) => return Heard::End,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Heard::End,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Heard::End,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn hear_method(&mut self) -> Method {
        match self.hear().await {
            Heard::Method(_, method) => method,
            other => panic!("{other:?}"),
        }
    }

    async fn hear_end(&mut self) {
        while self.hear().await != Heard::End {}
    }

    async fn open(&mut self, heartbeat: u16) {
        self.send_bytes(HEADER).await;
        assert!(matches!(
            self.hear_method().await,
            Method::ConnectionStart(_)
        ));
        let capabilities: FieldTable = [("connection.blocked", true)].into_iter().collect();
        let start_ok = connection::StartOk {
            client_properties: [("capabilities", capabilities)].into_iter().collect(),
            mechanism: "PLAIN".into(),
            response: b"\0guest\0guest"[..].into(),
            locale: "en_US".into(),
        };
        self.send(0, start_ok).await;
        assert!(matches!(
            self.hear_method().await,
            Method::ConnectionTune(_)
        ));
        let tune_ok = connection::TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat,
        };
        self.send(0, tune_ok).await;
        let open = connection::Open {
            virtual_host: "/".into(),
        };
        self.send(0, open).await;
        assert_eq!(
            self.hear_method().await,
            Method::ConnectionOpenOk(connection::OpenOk)
        );
        self.send(1, channel::Open).await;
        assert_eq!(
            self.hear_method().await,
            Method::ChannelOpenOk(channel::OpenOk)
        );
    }

    async fn declare(&mut self, name: &str) {
        let declare = queue::Declare {
            queue: name.into(),
            ..queue::Declare::default()
        };
        self.send(1, declare).await;
        assert!(matches!(
            self.hear_method().await,
            Method::QueueDeclareOk(_)
        ));
    }

    async fn consume(&mut self, name: &str) {
        let consume = basic::Consume {
            queue: name.into(),
            no_ack: true,
            ..basic::Consume::default()
        };
        self.send(1, consume).await;
        assert!(matches!(
            self.hear_method().await,
            Method::BasicConsumeOk(_)
        ));
    }

    async fn publish(&mut self, queue: &str, body: &[u8]) {
        self.send_bytes(&published(queue, body)).await;
    }

    /// The body of a message that follows a method.
    async fn hear_body(&mut self) -> Vec<u8> {
        let Heard::Content(FrameKind::Header, header) = self.hear().await else {
            panic!("no content header");
        };
        let size = frame::content_header(&header).expect("one").body_size;
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            match self.hear().await {
                Heard::Content(FrameKind::Body, piece) => body.extend(piece),
                other => panic!("{other:?}"),
            }
        }
        body
    }

    async fn hear_delivery(&mut self) -> Vec<u8> {
        assert!(matches!(self.hear_method().await, Method::BasicDeliver(_)));
        self.hear_body().await
    }
}

fn published(queue: &str, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish {
        routing_key: queue.into(),
        ..basic::Publish::default()
    };
    let mut bytes = Vec::new();
    encode::method_frame(&mut bytes, 1, &publish.into());
    encode::content_header_frame(&mut bytes, 1, body.len() as u64, &[0, 0]);
    encode::body_frames(&mut bytes, 1, body, 131_072);
    bytes
}

/// Looks again and again, for what can only be seen by looking.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "not {what}");
}

/// A CA, and certificates by it, in a folder.
struct Certificates {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("signed");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).expect("written");
        let issuer = Issuer::new(params, key);
        let certificates = Self { folder, issuer };
        certificates.issue("server", "server one");
        certificates.issue("client", "client one");
        certificates
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    fn issue(&self, file: &str, common_name: &str) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("a name");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).expect("written");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("written");
    }

    fn files(&self, client_certificate: ClientCertificate) -> TlsFiles {
        TlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            ca: Some(self.path("ca.pem")),
            client_certificate,
        }
    }

    fn net(&self, client_certificate: ClientCertificate) -> NetSettings {
        NetSettings {
            listen_tls: vec!["127.0.0.1:0".into()],
            tls: Some(self.files(client_certificate)),
            ..net()
        }
    }

    fn client(&self, own: Option<&Certificates>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate(&self.path("ca.pem")))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_file(own.path("client.key")).expect("a key");
                let chain = vec![certificate(&own.path("client.pem"))];
                builder.with_client_auth_cert(chain, key).expect("usable")
            }
        }
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let shown = stream.get_ref().1.peer_certificates().expect("shown");
    shown[0].clone().into_owned()
}

/// Whether a TLS client gets as far as an AMQP connection.
async fn is_let_in(site: &Site, config: ClientConfig) -> bool {
    match site.tls(config).await {
        Err(_) => false,
        Ok(mut stream) => {
            // With TLS 1.3 the client only learns when it reads that its certificate was refused.
            let mut start = [0; 1];
            let talk = async {
                stream.write_all(HEADER).await?;
                stream.read_exact(&mut start).await
            };
            timeout(PATIENCE, talk).await.expect("an answer").is_ok()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_is_spoken_through_tls() {
    let certificates = Certificates::new();
    let site = Site::start(certificates.net(ClientCertificate::None));
    let stream = site.tls(certificates.client(None)).await.expect("let in");
    let mut client = Client::new(stream);
    client.open(0).await;
    client.declare("q").await;
    client.consume("q").await;
    // Small ones and one that takes many records, through both directions.
    let bodies = [
        vec![b'a'; 10],
        vec![b'b'; 5 << 20],
        Vec::new(),
        vec![b'c'; 5000],
    ];
    let received = async {
        let mut received = Vec::new();
        let all: Vec<u8> = bodies
            .iter()
            .flat_map(|body| published("q", body))
            .collect();
        client.send_bytes(&all).await;
        for _ in &bodies {
            received.push(client.hear_delivery().await);
        }
        received
    };
    assert!(received.await == bodies);
    let close = connection::Close::default();
    client.send(0, close).await;
    assert_eq!(
        client.hear_method().await,
        Method::ConnectionCloseOk(connection::CloseOk)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_none_optional_or_required() {
    let ours = Certificates::new();
    let theirs = Certificates::new();
    for (wanted, without, with_ours, with_theirs) in [
        (ClientCertificate::None, true, true, true),
        (ClientCertificate::Optional, true, true, false),
        (ClientCertificate::Required, false, true, false),
    ] {
        let site = Site::start(ours.net(wanted));
        assert_eq!(
            is_let_in(&site, ours.client(None)).await,
            without,
            "{wanted:?}"
        );
        assert_eq!(
            is_let_in(&site, ours.client(Some(&ours))).await,
            with_ours,
            "{wanted:?}"
        );
        assert_eq!(
            is_let_in(&site, ours.client(Some(&theirs))).await,
            with_theirs,
            "{wanted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_without_a_restart() {
    let certificates = Certificates::new();
    let site = Site::start(certificates.net(ClientCertificate::None));
    let first = certificate(&certificates.path("server.pem"));
    let stream = site.tls(certificates.client(None)).await.expect("let in");
    assert_eq!(shown(&stream), first);
    let mut old = Client::new(stream);
    old.open(0).await;

    certificates.issue("server", "server two");
    let second = certificate(&certificates.path("server.pem"));
    site.server.reload_tls().expect("it is good");
    let stream = site.tls(certificates.client(None)).await.expect("let in");
    assert_eq!(shown(&stream), second);

    std::fs::write(certificates.path("server.pem"), "nonsense").expect("written");
    site.server.reload_tls().expect_err("it is no good");
    let stream = site.tls(certificates.client(None)).await.expect("let in");
    assert_eq!(shown(&stream), second);
    old.declare("still-there").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_on_the_tls_port_is_cut_off() {
    let certificates = Certificates::new();
    let site = Site::start(certificates.net(ClientCertificate::None));
    let address = site.server.address(Protocol::Amqps).expect("it listens");
    for said in [HEADER, b"GET / HTTP/1.1\r\n\r\n"] {
        let mut socket = TcpStream::connect(address).await.expect("accepted");
        socket.write_all(said).await.expect("sent");
        let mut answer = Vec::new();
        let end = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        let _ = end.expect("cut off");
        assert!(!answer.starts_with(b"AMQP"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_client_on_the_plain_port_is_told_what_is_spoken_there() {
    let site = Site::start(net());
    let mut socket = site.connect().await;
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 500]].concat();
    socket.write_all(&hello).await.expect("sent");
    let mut answer = Vec::new();
    let end = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    end.expect("cut off").expect("in order");
    assert_eq!(answer, HEADER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_does_not_read_harms_nobody_and_misses_nothing() {
    let site = Site::start(net());
    let mut slow = site.client().await;
    slow.declare("slow").await;
    slow.consume("slow").await;
    let mut busy = site.client().await;
    busy.declare("busy").await;
    busy.consume("busy").await;

    // Far more than sockets and the outgoing buffer hold.
    const COUNT: usize = 400;
    let body = |number: usize| vec![number as u8; 100_000];
    for number in 0..COUNT {
        busy.publish("slow", &body(number)).await;
        busy.publish("busy", b"how are you?").await;
        assert_eq!(busy.hear_delivery().await, b"how are you?");
    }
    let vhost = site.broker.vhost("/").expect("there is one");
    let queue = vhost
        .queue("slow", site.broker.next_connection_id())
        .expect("there is one");
    assert!(queue.counts().ready > 0, "it was sent more than it took");

    for number in 0..COUNT {
        assert!(
            slow.hear_delivery().await == body(number),
            "message {number}"
        );
    }
    assert_eq!(queue.counts().ready, 0);
}

/// Five tasks write to one socket which is full most of the time: none of what they have for it may
/// be lost, torn, doubled, out of its order, or left lying.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publishers_write_to_one_slow_consumer() {
    let site = Site::start(NetSettings {
        // Small, so that consumers wait for room all the time.
        high_water_bytes: 64 << 10,
        ..net()
    });
    let mut consumer = site.client().await;
    consumer.declare("q").await;
    consumer.consume("q").await;

    const PUBLISHERS: u8 = 4;
    const MESSAGES: u32 = 1_500;
    // Some are copied, some are spliced in as shared slices.
    let length = |number: u32| [5, 300, 4_090, 9_000, 150_000][(number % 5) as usize];
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let mut client = site.client().await;
        publishers.spawn(async move {
            for number in 0..MESSAGES {
                let mut body = vec![publisher; length(number)];
                body[1..5].copy_from_slice(&number.to_be_bytes());
                client.publish("q", &body).await;
            }
            client
        });
    }
    let mut next = [0; PUBLISHERS as usize];
    for received in 0..u32::from(PUBLISHERS) * MESSAGES {
        let body = consumer.hear_delivery().await;
        let publisher = body[0];
        let number = u32::from_be_bytes(body[1..5].try_into().expect("four bytes"));
        let place = &mut next[usize::from(publisher)];
        assert_eq!(number, *place, "of publisher {publisher}");
        *place += 1;
        assert_eq!(body.len(), length(number));
        assert!(body[5..].iter().all(|byte| *byte == publisher));
        if received % 64 == 0 {
            // Lets the socket fill up; what is waited for is nothing in particular.
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(next, [MESSAGES; PUBLISHERS as usize]);
    publishers.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_never_reads_is_not_read_either() {
    let site = Site::start(net());
    let mut client = site.client().await;
    client.declare("q").await;
    const COUNT: usize = 2_000;
    let mut other = site.client().await;
    for _ in 0..COUNT {
        other.publish("q", &[b'x'; 50_000]).await;
    }
    let vhost = site.broker.vhost("/").expect("there is one");
    let queue = vhost
        .queue("q", site.broker.next_connection_id())
        .expect("there is one");
    eventually("published", || queue.counts().ready == COUNT as u64).await;

    let mut gets = Vec::new();
    for _ in 0..COUNT {
        let get = basic::Get {
            queue: "q".into(),
            no_ack: true,
        };
        encode::method_frame(&mut gets, 1, &get.into());
    }
    client.send_bytes(&gets).await;
    // The other client is served long after the first one's answers filled everything.
    for _ in 0..50 {
        other.declare("q").await;
    }
    let taken = COUNT as u64 - queue.counts().ready;
    assert!(
        taken < COUNT as u64 / 2,
        "{taken} messages wait for a client that does not read"
    );
    for _ in 0..COUNT {
        assert!(matches!(client.hear_method().await, Method::BasicGetOk(_)));
        assert_eq!(client.hear_body().await.len(), 50_000);
    }
}

/// What a client does not take, and what it sends half of, counts against the memory limit.
#[tokio::test(flavor = "multi_thread")]
async fn memory_that_clients_hold_outside_of_queues_is_counted() {
    let site = Site::start(net());
    let memory = &site.broker.engine.memory;
    let counts = async |what: &str, holds: &dyn Fn(u64) -> bool| {
        let seen = async {
            while !holds(memory.used_bytes()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "{what}: {} bytes", memory.used_bytes());
    };
    counts("nobody", &|bytes| bytes == 0).await;

    // Half of a frame: more comes only when the client likes.
    let mut half = site.client().await;
    let bytes = published("nowhere", &[7; 120_000]);
    half.send_bytes(&bytes[..100_000]).await;
    counts("half a frame", &|bytes| bytes >= 80_000).await;
    half.send_bytes(&bytes[100_000..]).await;
    counts("all of it", &|bytes| bytes == 0).await;

    // Who is blocked keeps what it has sent, which is not to keep the alarm up.
    let alarms = site.broker.alarms();
    let mut witness = site.client().await;
    alarms.send_modify(|alarms| alarms.memory = true);
    // Connections hear of it by and by; whoever publishes before they do is not blocked.
    loop {
        witness.publish("nowhere", b"x").await;
        let heard = timeout(Duration::from_millis(20), witness.hear_method()).await;
        if let Ok(heard) = heard {
            assert!(matches!(heard, Method::ConnectionBlocked(_)), "{heard:?}");
            break;
        }
    }
    let both = [published("nowhere", b"x"), bytes[..100_000].to_vec()].concat();
    half.send_bytes(&both).await;
    assert!(matches!(
        half.hear_method().await,
        Method::ConnectionBlocked(_)
    ));
    counts("what is not read", &|bytes| bytes == 0).await;
    alarms.send_modify(|alarms| alarms.memory = false);
    assert!(matches!(
        half.hear_method().await,
        Method::ConnectionUnblocked(_)
    ));
    counts("half a frame again", &|bytes| bytes >= 80_000).await;
    half.send_bytes(&bytes[100_000..]).await;
    counts("all of it again", &|bytes| bytes == 0).await;

    // A queue that is gone holds nothing, but what was written for its consumer waits.
    let mut slow = site.client().await;
    slow.declare("slow").await;
    slow.consume("slow").await;
    let vhost = site.broker.vhost("/").expect("there is one");
    let queue = vhost
        .queue("slow", site.broker.next_connection_id())
        .expect("there is one");
    // More than a socket that takes a little more after all makes up for.
    while queue.counts().ready < 20 {
        half.publish("slow", &[7; 100_000]).await;
    }
    drop(queue);
    let delete = queue::Delete {
        queue: "slow".into(),
        ..queue::Delete::default()
    };
    half.send(1, delete).await;
    assert!(matches!(half.hear_method().await, Method::QueueDeleteOk(_)));
    let up_to_the_mark = |bytes: u64| (100_000..1_500_000).contains(&bytes);
    counts("what is not taken", &up_to_the_mark).await;
    drop(slow);
    counts("the client is gone", &|bytes| bytes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_client_is_cut_off_after_a_time() {
    let site = Site::start(NetSettings {
        write_timeout: Duration::from_millis(300),
        ..net()
    });
    let mut stuck = site.client().await;
    stuck.declare("q").await;
    stuck.consume("q").await;
    let mut other = site.client().await;
    for _ in 0..300 {
        other.publish("q", &[b'x'; 100_000]).await;
    }
    eventually("cut off", || site.server.connections().count() == 1).await;
    let vhost = site.broker.vhost("/").expect("there is one");
    let queue = vhost
        .queue("q", site.broker.next_connection_id())
        .expect("there is one");
    assert_eq!(queue.counts().consumers, 0);
    other.declare("q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_connections_than_allowed() {
    let site = Site::start(NetSettings {
        max_connections: 2,
        ..net()
    });
    let first = site.client().await;
    let mut second = site.client().await;
    let mut third = Client::new(site.connect().await);
    assert_eq!(third.hear().await, Heard::End);
    second.declare("q").await;
    drop(first);
    eventually("room", || site.server.connections().count() == 1).await;
    site.client().await.declare("q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_block_publishers_and_nobody_else() {
    let site = Site::start(net());
    let mut publisher = site.client().await;
    publisher.declare("q").await;
    let mut consumer = site.client().await;
    consumer.consume("q").await;

    let alarms = site.broker.alarms();
    alarms.send_modify(|alarms| alarms.memory = true);
    // Until the news is through, messages are; each one asks.
    let blocked = loop {
        publisher.publish("q", b"x").await;
        let quiet = timeout(Duration::from_millis(20), publisher.hear()).await;
        if let Ok(heard) = quiet {
            break heard;
        }
    };
    match blocked {
        Heard::Method(0, Method::ConnectionBlocked(blocked)) => {
            assert_eq!(&*blocked.reason, "low on memory");
        }
        other => panic!("{other:?}"),
    }
    site.client().await.declare("q").await;

    publisher.publish("q", b"last").await;
    alarms.send_modify(|alarms| *alarms = Alarms::default());
    assert_eq!(
        publisher.hear_method().await,
        Method::ConnectionUnblocked(connection::Unblocked)
    );
    while consumer.hear_delivery().await != b"last" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_publisher_that_goes_is_noticed() {
    let site = Site::start(net());
    let mut publisher = site.client().await;
    let alarms = site.broker.alarms();
    alarms.send_modify(|alarms| alarms.disk = true);
    // It is told that it is blocked, but does not read that.
    loop {
        publisher.publish("q", &[b'x'; 1000]).await;
        let told = timeout(Duration::from_millis(20), publisher.stream.readable()).await;
        if told.is_ok() {
            break;
        }
    }
    let mut others = site.client().await;
    others.declare("q").await;
    drop(publisher);
    let metrics = site.broker.metrics();
    eventually("gone", || metrics.connections_closed.get() == 1).await;
    others.declare("q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_sent_and_expected() {
    let site = Site::start(net());
    let mut client = Client::new(site.connect().await);
    client.open(1).await;
    // It says nothing more, and so it ends, without a word but heartbeats.
    let mut heartbeats = 0;
    loop {
        match client.hear().await {
            Heard::Heartbeat => heartbeats += 1,
            Heard::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(heartbeats >= 3, "{heartbeats}");
    let metrics = site.broker.metrics();
    eventually("gone", || metrics.connections_closed.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_told_and_waits_for_the_answer() {
    let certificates = Certificates::new();
    let site = Site::start(certificates.net(ClientCertificate::None));
    let mut plain = site.client().await;
    let mut tls = Client::new(site.tls(certificates.client(None)).await.expect("let in"));
    tls.open(0).await;
    let mut stranger = Client::new(site.connect().await);
    let address = site.server.address(Protocol::Amqp).expect("it listens");

    let stopped = tokio::spawn(site.server.shut_down());
    async fn told<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) {
        match client.hear_method().await {
            Method::ConnectionClose(close) => {
                let text = "CONNECTION_FORCED - broker forced connection closure with reason \
                            'shutdown'";
                assert_eq!((close.reply_code, &*close.reply_text), (320, text));
            }
            other => panic!("{other:?}"),
        }
    }
    told(&mut plain).await;
    told(&mut tls).await;
    stranger.hear_end().await;
    assert!(!stopped.is_finished(), "it waits");
    plain.send(0, connection::CloseOk).await;
    plain.hear_end().await;
    tls.send(0, connection::CloseOk).await;
    tls.hear_end().await;
    drop((plain, tls, stranger));
    timeout(PATIENCE, stopped)
        .await
        .expect("it ends")
        .expect("in order");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody is let in any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_management_pages_tell_of_health_and_numbers() {
    let site = Site::start(net());
    let address = site.server.address(Protocol::Http).expect("it listens");
    let get = async |request: &str| {
        let mut socket = TcpStream::connect(address).await.expect("accepted");
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(PATIENCE, socket.read_to_string(&mut answer)).await;
        read.expect("an answer").expect("text");
        answer
    };
    let mut client = site.client().await;
    client.declare("q").await;
    let health = get("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n"), "{health}");
    assert!(
        health.ends_with("\r\n\r\n{\"status\":\"ok\",\"alarms\":[]}\n"),
        "{health}"
    );
    site.broker
        .alarms()
        .send_modify(|alarms| alarms.disk = true);
    let health = get("GET /health HTTP/1.1\r\n\r\n").await;
    assert!(health.contains("\"alarms\":[\"disk\"]"), "{health}");

    let metrics = get("GET /metrics HTTP/1.1\r\n\r\n").await;
    for line in [
        "warren_connections 1",
        "warren_channels 1",
        "warren_alarm_disk 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "no {line} in {metrics}"
        );
    }
    let head = get("HEAD /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [
        ("GET /other HTTP/1.1\r\n\r\n", "404"),
        ("POST /health HTTP/1.1\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        assert!(
            get(request)
                .await
                .starts_with(&format!("HTTP/1.1 {status}")),
            "{request}"
        );
    }
    let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(9000));
    assert!(get(&long).await.starts_with("HTTP/1.1 431"));
}
