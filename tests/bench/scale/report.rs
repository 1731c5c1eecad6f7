//! What is shown at the end: one table, and where the plots are.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::plot::Plot;

/// The rows so far, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<[String; 3]>,
    plots: Vec<PathBuf>,
}

impl Report {
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: String, wanted: &str) {
        self.rows.push([what.into(), measured, wanted.to_owned()]);
    }

    /// Writes a plot into the folder.
    pub(crate) fn draw(&mut self, folder: &Path, name: &str, plot: &Plot) {
        let path = folder.join(format!("{name}.svg"));
        std::fs::write(&path, plot.to_string()).unwrap();
        self.plots.push(path);
    }
}

/// In Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | measured | wanted |\n|---|--:|--:|")?;
        for [what, measured, wanted] in &self.rows {
            writeln!(f, "| {what} | {measured} | {wanted} |")?;
        }
        writeln!(f)?;
        for path in &self.plots {
            writeln!(f, "- {}", path.display())?;
        }
        Ok(())
    }
}
