//! The `bench` command: plays a null broker, lists the scenarios, or measures brokers in turn.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use bench::broker::{BrokerKind, BrokerUnderTest};
use bench::figures::{Figures, Results};
use bench::load::Probe;
use bench::null::NullBroker;
use bench::plot;
use bench::report;
use bench::scenario::{self, Bench, Scenario};
use bench::url::BrokerUrl;
use clap::{Args, Parser, Subcommand};

/// Measures AMQP 0-9-1 brokers side by side.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Play a null broker: hand every message on, keep nothing.
    Null {
        /// Address and port; port 0 picks a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
    },
    /// List the scenarios.
    List,
    /// Start each broker in turn, run the scenarios, print the table.
    Run(Box<RunArguments>),
}

#[derive(Args)]
struct RunArguments {
    /// Scenarios by name, `*` stands for anything; by default all but the long ones.
    scenarios: Vec<String>,
    /// Brokers to start: null, rabbitmq, warren.
    #[arg(long, value_delimiter = ',', default_value = "null,rabbitmq,warren")]
    brokers: Vec<String>,
    /// A broker that runs already, as NAME=amqp://user:password@host:port/vhost; may be repeated.
    #[arg(long, value_name = "NAME=URL")]
    url: Vec<String>,
    /// Its process on this machine, as NAME=PID, to measure CPU and memory.
    #[arg(long, value_name = "NAME=PID")]
    pid: Vec<String>,
    /// A PEM file with the certificate that amqps:// brokers must come from.
    #[arg(long, value_name = "PATH")]
    tls_ca: Option<PathBuf>,
    /// Warren's binary; built from this checkout without.
    #[arg(long, value_name = "PATH")]
    warren: Option<PathBuf>,
    /// Seconds before measuring.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds measured.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Runs of each scenario; the best counts.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Count the broker's system calls with perf; costs it a little.
    #[arg(long)]
    system_calls: bool,
    /// Add to the results of earlier runs, in the folder where they went.
    #[arg(long)]
    add: bool,
    /// Also write figures and plots here, for the documentation.
    #[arg(long, value_name = "FOLDER")]
    docs: Option<PathBuf>,
    /// Bytes of the load generator's socket buffers; 0 leaves them to the kernel.
    #[arg(long, value_name = "BYTES")]
    socket_buffer: Option<usize>,
    /// Where results go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Task::Null { listen } => play_null(&listen),
        Task::List => {
            list();
            Ok(())
        }
        Task::Run(arguments) => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play_null(listen: &str) -> io::Result<()> {
    let broker = NullBroker::bind(listen)?;
    println!("listening on {}", broker.address()?);
    broker.serve()
}

fn list() {
    for scenario in scenario::all() {
        let long = if scenario.long { " (long)" } else { "" };
        println!("{:24} {}{long}", scenario.name, scenario.about);
    }
}

fn run(arguments: &RunArguments) -> io::Result<()> {
    let scenarios = select(&arguments.scenarios)?;
    let brokers = brokers(arguments)?;
    let figures = arguments.out.join("results.json");
    let mut results = match arguments.add {
        true => report::read_json(&figures)?,
        false => Results::new(),
    };
    for broker in &brokers {
        for scenario in &scenarios {
            if !scenario.null_can && matches!(broker.kind, BrokerKind::Null) {
                continue;
            }
            eprintln!("{}: {}", broker.name, scenario.name);
            let figures = measure(broker, scenario, arguments);
            results
                .entry(scenario.name.clone())
                .or_default()
                .insert(broker.name.clone(), figures);
        }
    }
    let (names, columns) = (rows(&results), columns(&results, &brokers));
    let table = report::table(&results, &names, &columns);
    print!("{table}");
    fs::create_dir_all(&arguments.out)?;
    fs::write(arguments.out.join("results.txt"), table)?;
    report::write_json(&figures, &results)?;
    for folder in [Some(&arguments.out), arguments.docs.as_ref()]
        .into_iter()
        .flatten()
    {
        fs::create_dir_all(folder)?;
        if Some(folder) == arguments.docs.as_ref() {
            report::write_json(&folder.join("benchmark.json"), &results)?;
        }
        if let Some(svg) = plot::bars(&results, &names, &columns) {
            fs::write(folder.join("benchmark.svg"), svg)?;
        }
        if let Some(svg) = plot::curves(&results, &names, &columns) {
            fs::write(folder.join("scaling.svg"), svg)?;
        }
    }
    Ok(())
}

/// The scenarios that there are results of, in their usual order.
fn rows(results: &Results) -> Vec<String> {
    let names = scenario::all().into_iter().map(|scenario| scenario.name);
    names.filter(|name| results.contains_key(name)).collect()
}

/// The brokers that there are results of: the ceiling, the reference, this run's, others.
fn columns(results: &Results, brokers: &[BrokerUnderTest]) -> Vec<String> {
    let measured: BTreeSet<&String> = results.values().flat_map(|row| row.keys()).collect();
    let fixed = [report::CEILING.to_owned(), report::REFERENCE.to_owned()];
    let own = brokers.iter().map(|broker| &broker.name);
    let mut columns: Vec<String> = Vec::new();
    for name in fixed.iter().chain(own).chain(measured.iter().copied()) {
        if measured.contains(name) && !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

/// Each scenario gets a fresh broker, so that none inherits another's memory.
fn measure(broker: &BrokerUnderTest, scenario: &Scenario, arguments: &RunArguments) -> Figures {
    let mut best = Figures::default();
    for _ in 0..arguments.repeat.max(1) {
        let measured = broker.start(scenario.tls).and_then(|running| {
            (scenario.measure)(&Bench {
                url: with_buffers(running.url.clone(), arguments),
                probe: Probe {
                    process: running.process,
                    system_calls: arguments.system_calls,
                },
                start_seconds: running.start_seconds,
                tls_url: running
                    .tls_url
                    .clone()
                    .map(|url| with_buffers(url, arguments)),
                warm_up: Duration::from_secs_f64(arguments.warm_up),
                measured: Duration::from_secs_f64(arguments.seconds),
            })
        });
        match measured {
            Ok(figures) => best = best.better(figures),
            Err(error) => best.problems.push(error.to_string()),
        }
    }
    best
}

fn with_buffers(url: BrokerUrl, arguments: &RunArguments) -> BrokerUrl {
    let socket_buffer_bytes = match arguments.socket_buffer {
        None => url.socket_buffer_bytes,
        Some(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
    };
    BrokerUrl {
        socket_buffer_bytes,
        ..url
    }
}

fn select(patterns: &[String]) -> io::Result<Vec<Scenario>> {
    let mut scenarios = scenario::all();
    for pattern in patterns {
        if !scenarios
            .iter()
            .any(|scenario| scenario::matches_glob(pattern, &scenario.name))
        {
            return Err(io::Error::other(format!(
                "no scenario is named {pattern}; `bench list` shows them"
            )));
        }
    }
    scenarios.retain(|scenario| match patterns {
        [] => !scenario.long,
        _ => patterns
            .iter()
            .any(|pattern| scenario::matches_glob(pattern, &scenario.name)),
    });
    Ok(scenarios)
}

fn brokers(arguments: &RunArguments) -> io::Result<Vec<BrokerUnderTest>> {
    let mut brokers = Vec::new();
    for name in arguments.brokers.iter().filter(|name| !name.is_empty()) {
        let kind = match name.as_str() {
            "null" => BrokerKind::Null,
            "rabbitmq" => BrokerKind::RabbitMq,
            "warren" => BrokerKind::Warren(warren(arguments)?),
            other => {
                return Err(io::Error::other(format!(
                    "unknown broker {other}; others are named with --url"
                )));
            }
        };
        brokers.push(BrokerUnderTest {
            name: name.clone(),
            kind,
        });
    }
    for named in &arguments.url {
        let (name, url) = split_name(named)?;
        let url: BrokerUrl = url.parse().map_err(io::Error::other)?;
        let url = BrokerUrl {
            ca: arguments.tls_ca.clone(),
            ..url
        };
        let mut process = None;
        for named in &arguments.pid {
            let (of, pid) = split_name(named)?;
            if of == name {
                process = Some(pid.parse().map_err(io::Error::other)?);
            }
        }
        brokers.push(BrokerUnderTest {
            name: name.to_owned(),
            kind: BrokerKind::Foreign { url, process },
        });
    }
    Ok(brokers)
}

fn split_name(named: &str) -> io::Result<(&str, &str)> {
    named
        .split_once('=')
        .ok_or_else(|| io::Error::other(format!("{named}: NAME=... was expected")))
}

fn warren(arguments: &RunArguments) -> io::Result<PathBuf> {
    if let Some(path) = &arguments.warren {
        return Ok(path.clone());
    }
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--bin", "warren"])
        .current_dir(&root)
        .status()?;
    if !status.success() {
        return Err(io::Error::other("Warren does not build"));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/warren"))
}
