//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A message broker that speaks AMQP 0-9-1 as RabbitMQ does.
#[derive(Debug, Parser)]
#[command(name = "warren", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the broker (also what plain `warren` does)
    Serve(Box<Flags>),
    /// Verifies the data folder of a stopped broker and says what is in it. Exit code: 0 it is
    /// sound, 1 it has problems, 2 it could not be checked
    CheckStore(CheckFlags),
}

/// Which folder is checked.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct CheckFlags {
    /// Reads settings from FILE, of which only the data folder matters
    #[arg(long, value_name = "FILE", env = "WARREN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Checks DIR [default: warren-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl From<CheckFlags> for Flags {
    fn from(flags: CheckFlags) -> Self {
        Self {
            config: flags.config,
            data_dir: flags.data_dir,
            ..Self::default()
        }
    }
}

/// What the broker is started with. Each flag overrides the configuration file and the environment.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Flags {
    /// Reads settings from FILE; see warren.example.toml for what can be set
    #[arg(long, value_name = "FILE", env = "WARREN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Keeps data in DIR [default: warren-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Listens there for AMQP; may be repeated [default: 127.0.0.1:5672]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,
    /// Listens there for AMQP through TLS; may be repeated [default with a certificate: 127.0.0.1:5671]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen_tls: Vec<String>,
    /// The server's certificate, followed by those between it and a root, as PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The CA certificates that client certificates are checked against, as PEM
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// When data are synced to the disk: always, interval or never [default: always]
    #[arg(long, value_name = "WHEN")]
    pub fsync: Option<String>,
    /// Refuses to start on damaged data, instead of setting them aside
    #[arg(long)]
    pub strict: bool,
    /// Blocks publishers while the data folder's file system has less free [default: 50MB]
    #[arg(long, value_name = "BYTES")]
    pub disk_free_limit: Option<String>,
    /// Takes over the definitions in FILE, which is in RabbitMQ's format, at start
    #[arg(long, value_name = "FILE")]
    pub definitions: Option<PathBuf>,
    /// Serves the management API, /health and /metrics there over HTTP; may be repeated
    /// [default: 127.0.0.1:15672]
    #[arg(long, value_name = "ADDR:PORT")]
    pub management: Vec<String>,
}

impl CommandLine {
    /// What is to be done; where nothing is said, the broker is to run.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(Box::new(self.flags)))
    }
}
