//! The default configuration as a file.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use entra_emulator::Configuration;

#[derive(Args, Debug)]
pub(super) struct Init {
    /// Where to; `-` is standard output
    #[arg(default_value = "entra-emulator.toml")]
    path: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(super) fn write(&self) -> anyhow::Result<()> {
        if self.path.as_os_str() == "-" {
            let written = write!(io::stdout(), "{}", Configuration::DEFAULT);
            return written.context("standard output");
        }
        let mut options = fs::OpenOptions::new();
        options.write(true);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let shown = self.path.display();
        let mut file = options.open(&self.path).with_context(|| {
            format!("cannot write {shown} (--force writes over a file that is there)")
        })?;
        file.write_all(Configuration::DEFAULT.as_bytes())
            .with_context(|| format!("cannot write {shown}"))?;
        writeln!(
            io::stdout(),
            "{shown} is written. Use it with: entra-emulator --config {shown}"
        )
        .context("standard output")
    }
}
