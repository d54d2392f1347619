//! Configuration: its layers, its errors, the example file; and the command that reads it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use warren::config::{Config, ConfigError, Flags, LogFormat, Sources};
use warren::net::ClientCertificate;
use warren::store::journal::{Fsync, OnDamage};

fn load(
    file: Option<&str>,
    environment: &[(&str, &str)],
    flags: Flags,
) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("warren.toml");
    let config = file.map(|text| {
        std::fs::write(&path, text).expect("written");
        path.clone()
    });
    let environment = environment
        .iter()
        .map(|(name, value)| (name.to_string(), value.into()));
    let sources = Sources {
        environment: environment.collect(),
        flags: Flags { config, ..flags },
    };
    sources.load()
}

#[track_caller]
fn refused(file: Option<&str>, environment: &[(&str, &str)], names: &[&str]) {
    let error = load(file, environment, Flags::default())
        .expect_err("it is wrong")
        .to_string();
    for name in names {
        assert!(error.contains(name), "{error:?} does not name {name}");
    }
}

#[test]
fn nothing_said_is_the_defaults() {
    let config = load(None, &[], Flags::default()).expect("it is right");
    assert_eq!(config, Config::default());
    let net = config.net();
    assert_eq!(net.listen, ["127.0.0.1:5672"]);
    assert_eq!(net.management, ["127.0.0.1:15672"]);
    assert!(net.listen_tls.is_empty());
    // The guest is made when the broker starts, and changed as those who were made at run time.
    assert!(config.has_default_users());
    assert!(config.users().expect("it is right").all().is_empty());
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let file = r#"
        data_dir = "of-file"
        vhosts = ["of", "file"]
        [listen]
        plain = ["127.0.0.1:1"]
        management = ["127.0.0.1:2"]
        [limits]
        channel_max = 7
        heartbeat_s = 8
        [log]
        format = "json"
    "#;
    let environment = [
        ("WARREN_DATA_DIR", "of-environment"),
        ("WARREN_LISTEN_PLAIN", "127.0.0.1:3, 127.0.0.1:4"),
        ("WARREN_LIMITS_HEARTBEAT_S", "9"),
        ("PATH", "/bin"),
    ];
    let flags = Flags {
        data_dir: Some("of-flags".into()),
        management: vec!["127.0.0.1:5".into()],
        ..Flags::default()
    };
    let config = load(Some(file), &environment, flags).expect("it is right");
    assert_eq!(config.data_dir, Path::new("of-flags"));
    assert_eq!(config.listen.plain, ["127.0.0.1:3", "127.0.0.1:4"]);
    assert_eq!(config.listen.management, ["127.0.0.1:5"]);
    assert_eq!(config.vhosts, ["of", "file"]);
    assert_eq!(
        (config.limits.channel_max, config.limits.heartbeat_s),
        (7, 9)
    );
    assert_eq!(config.limits.frame_max_bytes, 131_072);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn users_come_from_the_file_or_the_environment() {
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    let file = format!(
        r#"
        [[users]]
        name = "app"
        password_hash = "{hash}"
        tags = ["monitoring"]
        permissions = [{{ vhost = "v", configure = "", write = "^a", read = ".*" }}]
        "#
    );
    let config = load(Some(&file), &[], Flags::default()).expect("it is right");
    let users = config.users().expect("they are right");
    let elsewhere = "10.0.0.1".parse().ok();
    let app = users.login("app", b"test12", elsewhere).expect("welcome");
    assert!(app.has_tag("monitoring") && app.may_enter("v") && !app.may_enter("/"));
    assert!(
        users.login("guest", b"guest", None).is_err(),
        "only who is named"
    );

    let list = r#"[{ name = "env", password = "secret", permissions = [] }]"#;
    let environment = [("WARREN_USERS", list)];
    let config = load(Some(&file), &environment, Flags::default()).expect("it is right");
    let users = config.users().expect("they are right");
    assert!(users.login("env", b"secret", elsewhere).is_ok());
    assert!(
        !format!("{config:?}").contains("secret"),
        "passwords are not shown"
    );
}

#[test]
fn tls_is_listened_for_once_there_is_a_certificate() {
    let flags = Flags {
        tls_cert: Some("a.pem".into()),
        tls_key: Some("a.key".into()),
        tls_ca: Some("ca.pem".into()),
        ..Flags::default()
    };
    let config = load(None, &[], flags.clone()).expect("it is right");
    assert_eq!(config.net().listen_tls, ["127.0.0.1:5671"]);
    let tls = config.net().tls.expect("there is");
    assert_eq!(tls.client_certificate, ClientCertificate::Optional);
    assert_eq!(tls.ca.as_deref(), Some(Path::new("ca.pem")));

    let file = "[tls]\nclient_certificate = \"required\"\n[listen]\ntls = []\n";
    let config = load(Some(file), &[], flags.clone()).expect("it is right");
    assert!(config.net().listen_tls.is_empty());
    let tls = config.net().tls.expect("there is");
    assert_eq!(tls.client_certificate, ClientCertificate::Required);

    let flags = Flags {
        listen_tls: vec!["127.0.0.1:1".into()],
        ..flags
    };
    let config = load(Some(file), &[], flags).expect("it is right");
    assert_eq!(config.net().listen_tls, ["127.0.0.1:1"]);
}

#[test]
fn the_store_is_told_how_safe_to_be() {
    let config = load(None, &[], Flags::default()).expect("it is right");
    let storage = config.storage();
    assert_eq!(storage.data_dir, Path::new("warren-data"));
    assert_eq!(storage.disk_free_limit_bytes, 50_000_000);
    let options = storage.journal_options();
    assert_eq!(options.fsync, Fsync::Always);
    assert_eq!(options.on_damage, OnDamage::SetAside);
    assert_eq!((options.file_bytes, options.spare_files), (64 << 20, 3));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(options.busy_wait, processors > 1);
    assert_eq!(config.net().lookouts, processors / 2);

    let file = r#"
        [storage]
        fsync = "interval"
        fsync_interval_ms = 70
        strict = true
        journal_file_bytes = 8388608
        journal_spare_files = 1
        journal_buffer_bytes = 1048576
        busy_wait = false
    "#;
    let config = load(Some(file), &[], Flags::default()).expect("it is right");
    let options = config.storage().journal_options();
    assert_eq!(options.fsync, Fsync::Interval(Duration::from_millis(70)));
    assert_eq!(options.on_damage, OnDamage::Refuse);
    assert_eq!((options.file_bytes, options.spare_files), (8 << 20, 1));
    assert!(!options.busy_wait);
    assert_eq!(config.net().lookouts, 0);
    assert_eq!(options.limits.pressure_bytes, 1 << 20);
    assert!(options.limits.full_bytes > options.limits.pressure_bytes);

    let environment = [("WARREN_STORAGE_FSYNC", "always")];
    let flags = Flags {
        fsync: Some("never".to_string()),
        strict: true,
        ..Flags::default()
    };
    let config = load(Some(file), &environment, Flags::default()).expect("it is right");
    assert_eq!(config.storage().fsync, Fsync::Always);
    let config = load(None, &environment, flags).expect("it is right");
    assert_eq!(config.storage().fsync, Fsync::Never);
    assert!(config.storage().strict);
}

#[test]
fn the_disk_limit_is_written_as_rabbitmq_has_it() {
    let limit = |file: &str, environment: &[(&str, &str)], flag: Option<&str>| {
        let flags = Flags {
            disk_free_limit: flag.map(str::to_string),
            ..Flags::default()
        };
        let file = format!("[storage]\n{file}\n");
        let config = load(Some(&file), environment, flags).expect("it is right");
        config.storage().disk_free_limit_bytes
    };
    for (text, bytes) in [
        ("1000", 1000),
        ("\"1000\"", 1000),
        ("\"0\"", 0),
        ("\"50MB\"", 50_000_000),
        ("\"50000kB\"", 50_000_000),
        ("\"2GB\"", 2_000_000_000),
        ("\"2gib\"", 2 << 30),
        ("\"2G\"", 2 << 30),
        ("\"3m\"", 3 << 20),
        ("\"4KiB\"", 4096),
        ("\"1TB\"", 1_000_000_000_000),
    ] {
        let file = format!("disk_free_limit = {text}");
        assert_eq!(limit(&file, &[], None), bytes, "{text}");
    }
    let absolute = ("WARREN_STORAGE_DISK_FREE_LIMIT", "3GB");
    assert_eq!(limit("", &[absolute], None), 3_000_000_000);

    // As with RabbitMQ, who gives both gets the relative one.
    let memory_bytes = Config::default().memory_limit_bytes() / 2 * 5;
    let is_about = |bytes: u64, times: u64| {
        let expected = memory_bytes * times;
        assert!(bytes.abs_diff(expected) < 100, "{bytes} is not {expected}");
    };
    let both = "disk_free_limit = 1\ndisk_free_limit_relative = 2";
    is_about(limit(both, &[], None), 2);
    let relative = ("WARREN_STORAGE_DISK_FREE_LIMIT_RELATIVE", "3.0");
    is_about(limit(both, &[absolute, relative], None), 3);
    assert_eq!(limit(both, &[relative], Some("5MB")), 5_000_000);
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    refused(Some("colour = 1"), &[], &["warren.toml", "colour"]);
    refused(
        Some("[limits]\nchanel_max = 1"),
        &[],
        &["chanel_max", "channel_max", "2"],
    );
    refused(Some("[limit]\nchannel_max = 1"), &[], &["limit"]);
    refused(
        Some("[[users]]\nname = \"a\"\nrole = \"b\""),
        &[],
        &["role"],
    );
    refused(
        Some("[limits]\nchannel_max = \"many\""),
        &[],
        &["channel_max"],
    );
    refused(Some("[limits]\nchannel_max = 70000"), &[], &["channel_max"]);
    refused(
        Some("[limits]\nframe_max_bytes = 100"),
        &[],
        &["limits.frame_max_bytes", "4096"],
    );
    refused(
        Some("[limits]\nframe_max_bytes = 0"),
        &[],
        &["limits.frame_max_bytes"],
    );
    refused(
        Some("[limits]\nwrite_timeout_ms = 0"),
        &[],
        &["limits.write_timeout_ms"],
    );
    for (wrong, key) in [
        ("[limits]\nmax_connections = 0", "limits.max_connections"),
        (
            "[limits]\nmax_message_bytes = 0",
            "limits.max_message_bytes",
        ),
        (
            "[limits]\nmax_message_bytes = 536870913",
            "limits.max_message_bytes",
        ),
        ("worker_threads = 100000", "worker_threads"),
        ("data_dir = \"\"", "data_dir"),
        ("vhosts = [\"\"]", "vhosts"),
        ("[listen]\nplain = [\"5672\"]", "listen.plain"),
    ] {
        refused(Some(wrong), &[], &[key]);
    }
    let long = "v".repeat(256);
    refused(Some(&format!("vhosts = [\"{long}\"]")), &[], &["vhosts"]);
    for wrong in [
        "fsync = \"sometimes\"",
        "fsync_interval_ms = 0",
        "fsync_interval_ms = 1000000000000",
        "disk_free_limit = -1",
        "disk_free_limit = \"50 MB\"",
        "disk_free_limit = \"MB\"",
        "disk_free_limit = \"many\"",
        "disk_free_limit = \"18446744073709551615kB\"",
        "disk_free_limit_relative = -1.0",
        "disk_free_limit_relative = nan",
        "journal_file_bytes = 4096",
        "journal_spare_files = 0",
        "journal_buffer_bytes = 0",
    ] {
        let key = wrong.split(' ').next().expect("it has one");
        refused(Some(&format!("[storage]\n{wrong}")), &[], &[key]);
    }
    refused(
        None,
        &[("WARREN_STORAGE_DISK_FREE_LIMIT", "lots")],
        &["lots", "50MB"],
    );
    refused(
        None,
        &[("WARREN_STORAGE_DISK_FREE_LIMIT_RELATIVE", "lots")],
        &["WARREN_STORAGE_DISK_FREE_LIMIT_RELATIVE", "lots"],
    );
    refused(Some("[tls]\ncert = \"a\""), &[], &["tls.key"]);
    refused(
        Some("[listen]\ntls = [\"127.0.0.1:0\"]"),
        &[],
        &["listen.tls", "tls.cert"],
    );
    refused(Some("[log]\nformat = \"xml\""), &[], &["xml", "json"]);
    refused(Some("= 1"), &[], &["warren.toml"]);
    let variable = "WARREN_LIMITS_CHANNEL_MAX";
    refused(None, &[(variable, "many")], &[variable, "many"]);
    refused(
        None,
        &[("WARREN_USERS", "[{ name = \"a\", role = 1 }]")],
        &["role"],
    );
    refused(
        None,
        &[("WARREN_TLS_CLIENT_CERTIFICATE", "maybe")],
        &["maybe", "optional"],
    );
    let flags = Flags {
        config: None,
        ..Flags::default()
    };
    let sources = Sources {
        environment: Vec::new(),
        flags: Flags {
            config: Some("/nowhere/warren.toml".into()),
            ..flags
        },
    };
    let error = sources.load().expect_err("there is none").to_string();
    assert!(error.contains("/nowhere/warren.toml"), "{error}");
}

#[test]
fn a_variable_that_is_no_setting_is_refused_unless_kubernetes_sets_it() {
    refused(
        None,
        &[("WARREN_LIMITS_MAX_CONECTIONS", "1")],
        &["WARREN_LIMITS_MAX_CONECTIONS", "no such setting"],
    );
    refused(None, &[("WARREN_PORT", "5672")], &["WARREN_PORT"]);
    let environment = [
        ("WARREN_CONFIG", "x"),
        ("WARREN_SERVICE_HOST", "10.0.0.1"),
        ("WARREN_SERVICE_PORT", "5672"),
        ("WARREN_SERVICE_PORT_AMQP", "5672"),
        ("WARREN_PORT", "tcp://10.0.0.1:5672"),
        ("WARREN_PORT_5672_TCP", "tcp://10.0.0.1:5672"),
        ("WARREN_PORT_5672_TCP_PROTO", "tcp"),
        ("WARREN_PORT_5672_TCP_PORT", "5672"),
        ("WARREN_PORT_5672_TCP_ADDR", "10.0.0.1"),
    ];
    let config = load(None, &environment, Flags::default()).expect("it is right");
    assert_eq!(config, Config::default());
}

#[test]
fn what_is_no_text_is_refused() {
    let odd = OsString::from_vec(b"/data/\xff".to_vec());
    let of = |environment, flags| Sources { environment, flags }.load();
    let environment = vec![("WARREN_DATA_DIR".to_string(), odd.clone())];
    let error = of(environment, Flags::default()).expect_err("it is no UTF-8");
    assert_eq!(error.to_string(), "WARREN_DATA_DIR: is no UTF-8");
    let flags = Flags {
        data_dir: Some(odd.into()),
        ..Flags::default()
    };
    let error = of(Vec::new(), flags).expect_err("it is no UTF-8");
    assert_eq!(error.to_string(), "--data-dir: is no UTF-8");
}

#[test]
fn an_error_names_the_flag_or_variable_that_it_comes_from() {
    let refused = |environment: &[(&str, &str)], flags: Flags, expected: &str| {
        let error = load(None, environment, flags).expect_err("it is wrong");
        let error = error.to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    let listen = |addresses: &[&str]| Flags {
        listen: addresses
            .iter()
            .map(|address| address.to_string())
            .collect(),
        ..Flags::default()
    };
    let variable = [("WARREN_LISTEN_PLAIN", "127.0.0.1")];
    let flags = listen(&["127.0.0.1:0", "foo"]);
    refused(&variable, flags, "listen.plain (--listen): `foo` ");
    refused(
        &variable,
        Flags::default(),
        "listen.plain (WARREN_LISTEN_PLAIN): `127.0.0.1` ",
    );
    let flags = Flags {
        management: vec!["[::1]".into()],
        ..Flags::default()
    };
    refused(&[], flags, "listen.management (--management): `[::1]` ");
    let flags = Flags {
        tls_cert: Some("a.pem".into()),
        ..Flags::default()
    };
    refused(&[], flags, "tls.cert (--tls-cert): tls.key must be set");
    // Of the wrong type, or a word that means nothing.
    let flags = Flags {
        fsync: Some("maybe".into()),
        ..Flags::default()
    };
    refused(
        &[],
        flags,
        "storage.fsync (--fsync): unknown variant `maybe`",
    );
    let flags = Flags {
        disk_free_limit: Some("abc".into()),
        ..Flags::default()
    };
    refused(&[], flags, "storage.disk_free_limit (--disk-free-limit): ");
    let variable = [("WARREN_LIMITS_CHANNEL_MAX", "70000")];
    let expected = "limits.channel_max (WARREN_LIMITS_CHANNEL_MAX): invalid value";
    refused(&variable, Flags::default(), expected);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    let user = |rest: &str| format!("[[users]]\nname = \"app\"\n{rest}\n");
    for (rest, names) in [
        (
            "password = \"a\"\npassword_hash = \"nonsense\"".to_string(),
            ["app", "both a password and a password_hash"],
        ),
        (
            format!("password = \"a\"\npassword_hash = \"{hash}\""),
            ["app", "both a password and a password_hash"],
        ),
        (
            "password_hash = \"nonsense\"".to_string(),
            ["app", "password hash"],
        ),
        (
            "permissions = [{ vhost = \"/\", configure = \"(\", write = \"\", read = \"\" }]"
                .to_string(),
            ["app", "'('"],
        ),
        (user("password = \"a\""), ["app", "twice"]),
    ] {
        refused(Some(&user(&rest)), &[], &["users", names[0], names[1]]);
    }
    refused(Some("[[users]]\nname = \"\""), &[], &["users", "empty"]);

    let required = "[tls]\nclient_certificate = \"required\"\n";
    let with_certificate = format!("{required}cert = \"a.pem\"\nkey = \"a.key\"\n");
    for file in [required, &with_certificate] {
        refused(Some(file), &[], &["tls.client_certificate", "tls.ca"]);
    }
    refused(Some("[tls]\nca = \"ca.pem\""), &[], &["tls.ca", "tls.cert"]);
    refused(
        Some("[tls]\nkey = \"a.key\""),
        &[],
        &["tls.key", "tls.cert"],
    );
}

#[test]
fn the_example_names_every_setting_and_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("warren.example.toml");
    let text = std::fs::read_to_string(path).expect("it is there");
    // What is left out where it is not needed, and there for its documentation.
    let config = load(Some(&text), &[], Flags::default()).expect("it is right");
    assert_eq!(config, Config::default());

    let example: toml::Table = toml::from_str(&text).expect("it is TOML");
    let defaults = toml::Table::try_from(Config::default()).expect("they are");
    fn compare(path: &str, expected: &toml::Value, found: &toml::Value) {
        match (expected, found) {
            (toml::Value::Table(expected), toml::Value::Table(found)) => {
                for (key, value) in expected {
                    let path = format!("{path}.{key}");
                    let found = found
                        .get(key)
                        .unwrap_or_else(|| panic!("{path} is missing"));
                    compare(&path, value, found);
                }
            }
            (toml::Value::Array(expected), toml::Value::Array(found)) => {
                for (expected, found) in expected.iter().zip(found) {
                    compare(path, expected, found);
                }
            }
            _ => {}
        }
    }
    compare(
        "",
        &toml::Value::Table(defaults),
        &toml::Value::Table(example),
    );
}

/// The command, stopped when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn warren(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARREN_") {
            command.env_remove(name);
        }
    }
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--management",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Starts it and reads its log until it listens.
fn start(mut command: Command) -> (Running, Vec<String>, impl Iterator<Item = String>) {
    let mut running = Running(command.spawn().expect("it starts"));
    let mut lines = BufReader::new(running.0.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let mut log = Vec::new();
    for line in lines.by_ref() {
        let is_up = line.contains("started");
        log.push(line);
        if is_up {
            return (running, log, lines);
        }
    }
    panic!("it did not start: {log:#?}");
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn the_command_says_where_it_listens_and_ends_in_order_when_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("made/if/need/be");
    for name in ["TERM", "INT"] {
        let (mut running, log, _lines) = start(warren(&data_dir));
        for protocol in ["amqp", "http"] {
            let lines = log.iter().filter(|line| {
                line.contains("listening")
                    && line.contains("address=127.0.0.1:")
                    && line.ends_with(&format!("protocol={protocol}"))
            });
            assert_eq!(lines.count(), 1, "{log:#?}");
        }
        signal(&running.0, name);
        let status = running.0.wait().expect("a child of ours");
        assert_eq!(status.code(), Some(0), "SIG{name}");
    }
}

#[test]
fn a_data_folder_has_one_broker_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _, _lines) = start(warren(folder.path()));
    let output = warren(folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use by another broker"), "{said}");
    drop(first);
    let _third = start(warren(folder.path()));
}

#[test]
fn the_log_is_json_if_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = warren(folder.path());
    command.env("WARREN_LOG_FORMAT", "json");
    let (_running, log, _lines) = start(command);
    let line = log
        .iter()
        .find(|line| line.contains("listening"))
        .expect("it says so");
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    assert!(line.contains(r#""protocol":"amqp""#), "{line}");
}

#[test]
fn the_command_makes_nothing_where_a_setting_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let no_file = folder.path().join("none.pem");
    let no_file = no_file.to_str().expect("UTF-8");
    for (args, variable, named) in [
        (vec!["--listen", "foo"], None, "--listen"),
        (vec!["--fsync", "sometimes"], None, "storage.fsync"),
        (
            vec!["--tls-cert", no_file, "--tls-key", no_file],
            None,
            no_file,
        ),
        (vec![], Some(("WARREN_NONSENSE", "1")), "WARREN_NONSENSE"),
        (vec![], Some(("WARREN_LOG_LEVEL", "loud")), "log.level"),
        (
            vec![],
            Some(("WARREN_USERS", "[{ name = \"a\", password_hash = \"b\" }]")),
            "WARREN_USERS",
        ),
    ] {
        let mut command = warren(&data_dir);
        command.args(args).envs(variable);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{named}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(named), "{said}");
        assert!(!data_dir.exists(), "{named}");
    }
}

#[test]
fn the_command_refuses_what_it_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("warren.toml");
    std::fs::write(&config, "[limits]\nmax_conections = 1\n").expect("written");
    let mut command = warren(&folder.path().join("data"));
    let output = command
        .arg("--config")
        .arg(&config)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("max_conections"), "{said}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    let output = command
        .args(["serve", "--nonsense"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));

    // A mistyped level is none, nor the name of a module.
    for level in ["loud,=", "inof"] {
        let mut command = warren(&folder.path().join("data"));
        let output = command
            .env("WARREN_LOG_LEVEL", level)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("log.level"), "{said}");
    }
}
