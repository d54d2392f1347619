//! Where the broker under test is: flags first, then environment, then the usual port.

use std::path::PathBuf;

/// What the command takes.
pub const USAGE: &str = "\
usage: interop-lapin [--amqp-url URL] [--amqps-url URL] [--amqps-required-url URL] [--certs DIR] [CASE]

  --amqp-url            plain AMQP (AMQP_URL; amqp://guest:guest@127.0.0.1:5672/%2f)
  --amqps-url           TLS, client certificate optional (AMQPS_URL; without it those cases are skipped)
  --amqps-required-url  TLS, client certificate demanded (AMQPS_REQUIRED_URL; likewise)
  --certs               folder with ca.pem, client.pem, client.key, ... (CERTS; certs/out)
  CASE                  run only the cases whose name contains this";

/// The broker under test.
pub struct Target {
    pub amqp_url: String,
    pub amqps_url: Option<String>,
    pub amqps_required_url: Option<String>,
    pub certs: PathBuf,
    pub filter: String,
}

impl Target {
    /// Reads the command line over the environment.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut target = Self {
            amqp_url: environment("AMQP_URL")
                .unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".into()),
            amqps_url: environment("AMQPS_URL"),
            amqps_required_url: environment("AMQPS_REQUIRED_URL"),
            certs: environment("CERTS")
                .unwrap_or_else(|| "certs/out".into())
                .into(),
            filter: String::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--amqp-url" => target.amqp_url = value()?,
                "--amqps-url" => target.amqps_url = Some(value()?),
                "--amqps-required-url" => target.amqps_required_url = Some(value()?),
                "--certs" => target.certs = value()?.into(),
                flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
                _ => target.filter = argument,
            }
        }
        Ok(target)
    }
}
