//! The `warren` command: configuration, log, data folder, broker, signals.

mod check_store;
mod data;
mod log;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use warren::broker::catalog::StoredCatalog;
use warren::broker::engine::{DiskWatch, EngineOptions};
use warren::broker::notices::Notices;
use warren::broker::pager::PagingOptions;
use warren::broker::restore::{self, Restored};
use warren::broker::{Broker, Engine};
use warren::config::{Command, CommandLine, Config, Flags, Sources};
use warren::definitions;
use warren::net::{Server, TlsSource};
use warren::store::catalog::Contents;

use self::data::Data;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A busy worker looks for new events on sockets after so many turns of tasks. A turn of a busy
/// publisher takes some hundred microseconds; the runtime's own 61 of them would be too long a wait.
const EVENT_INTERVAL: u32 = 11;

/// Files that connections leave to the journal, the queues and everything else.
const FILES_IN_RESERVE: usize = 256;

type AnyError = Box<dyn std::error::Error>;
type Definitions = serde_json::Map<String, serde_json::Value>;

fn main() -> ExitCode {
    let flags = match CommandLine::parse().into_command() {
        Command::Serve(flags) => *flags,
        Command::CheckStore(flags) => return check_store::run(flags),
    };
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> Result<(), AnyError> {
    let started = Instant::now();
    stay_small();
    // Whatever is wrong with the settings is said before anything is opened or made.
    let mut config = Sources::of_process(flags).load()?;
    if let Some(files) = config.net().tls {
        TlsSource::load(files).map_err(|error| format!("TLS: {error}"))?;
    }
    let file = &config.load_definitions;
    let definitions = match file.as_os_str().is_empty() {
        true => None,
        false => Some(definitions::read(file).map_err(|error| wrong_definitions(&config, &error))?),
    };
    let notices = Notices::new(config.notices());
    log::start(&config.log, &notices)?;
    config.limits.max_connections = raise_file_limit(config.limits.max_connections);
    let (data, contents) = Data::open(&config.data_dir)?;

    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if config.worker_threads > 0 {
        builder.worker_threads(config.worker_threads);
    }
    builder.event_interval(EVENT_INTERVAL);
    let runtime = builder.enable_all().thread_name("warren").build()?;
    let served = runtime.block_on(serve(
        &config,
        notices,
        definitions,
        &data,
        contents,
        started,
    ));
    // Whoever did not go by now is not waited for.
    runtime.shutdown_background();
    data.close();
    served
}

/// The allocator asks for huge pages, 2 MiB each, which are resident as a whole once a byte of them is
/// used: that made no message cheaper and took 25 to 40 MiB.
fn stay_small() {
    // Where the kernel knows no such pages nothing is to be done.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Each connection takes a file descriptor, and the usual limit of 1,024 is one that processes are
/// allowed to raise. Says how many connections there may be: the journal and the queues must always
/// have files left.
fn raise_file_limit(max_connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return max_connections;
    };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let room = files - FILES_IN_RESERVE.min(files / 2);
    if room < max_connections {
        tracing::warn!(
            files,
            max_connections = room,
            "open files are limited to fewer than connections"
        );
    }
    room.min(max_connections)
}

async fn serve(
    config: &Config,
    notices: Arc<Notices>,
    definitions: Option<Definitions>,
    data: &Data,
    contents: Contents,
    started: Instant,
) -> Result<(), AnyError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;

    let storage = config.storage();
    let engine = Engine::with_options(EngineOptions {
        memory_limit_bytes: config.memory_limit_bytes(),
        paging: PagingOptions {
            reserve_bytes: storage.reserve_bytes(),
            ..PagingOptions::default()
        },
        notices,
        ..EngineOptions::default()
    });
    let disk = data.folder.disk();
    let mut disk_watch = DiskWatch::new(&engine, disk, storage.disk_free_limit_bytes);
    // Whoever comes first is not to find that nobody looked yet.
    disk_watch.look();
    let catalog = StoredCatalog::new(Arc::clone(&data.catalog));
    let broker = Broker::without_vhosts(config.users()?, engine, Arc::new(catalog));
    let restored = restore::topology(&broker, &contents)
        .map_err(|error| format!("{}: {error}", config.data_dir.display()))?;
    log_restored(restored);
    let recovered = data.recover(&broker, contents, storage.journal_options())?;
    prepare(config, &broker, restored.had_default_user, definitions)?;
    tokio::spawn(disk_watch.run());
    let server = Server::start(&broker, config.connection(), config.net())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %config.data_dir.display(),
        memory_limit_bytes = config.memory_limit_bytes(),
        disk_free_limit_bytes = storage.disk_free_limit_bytes,
        elapsed_ms = started.elapsed().as_millis() as u64,
        "started"
    );

    let name = wait_for_end(&server, &mut terminate, &mut interrupt, &mut hangup).await;
    tracing::info!(signal = name, "shutting down");
    tokio::select! {
        () = server.shut_down() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    recovered.close(&data.catalog);
    tracing::info!("stopped");
    Ok(())
}

/// Makes what configuration wants to be there, before anybody can connect.
fn prepare(
    config: &Config,
    broker: &Arc<Broker>,
    had_default_user: bool,
    definitions: Option<Definitions>,
) -> Result<(), AnyError> {
    // Those that are there already stay, whether or not configuration names them.
    for vhost in &config.vhosts {
        broker.add_vhost(vhost);
    }
    broker.prepare_own_exchanges();
    if config.has_default_users() && !had_default_user {
        broker.make_guest();
    }
    if let Some(definitions) = definitions {
        let imported = definitions::import(broker, &definitions, None);
        let counts = imported.map_err(|error| wrong_definitions(config, &error))?;
        let file = config.load_definitions.display();
        tracing::info!(%file, ?counts, "took definitions over");
    }
    Ok(())
}

fn wrong_definitions(config: &Config, error: &dyn std::error::Error) -> String {
    let file = config.load_definitions.display();
    format!("load_definitions: {file}: {error}")
}

fn log_restored(restored: Restored) {
    let Restored {
        vhosts,
        exchanges,
        queues,
        bindings,
        users,
        parameters,
        ..
    } = restored;
    tracing::info!(
        vhosts,
        exchanges,
        queues,
        bindings,
        users,
        parameters,
        "restored the topology"
    );
}

/// Reloads certificates whenever asked to, until asked to end.
async fn wait_for_end(
    server: &Server,
    terminate: &mut Signal,
    interrupt: &mut Signal,
    hangup: &mut Signal,
) -> &'static str {
    loop {
        tokio::select! {
            _ = terminate.recv() => return "SIGTERM",
            _ = interrupt.recv() => return "SIGINT",
            _ = hangup.recv() => match server.reload_tls() {
                Ok(()) => tracing::info!("certificates reloaded"),
                Err(error) => tracing::error!(%error, "certificates not reloaded; the old ones stay"),
            },
        }
    }
}
