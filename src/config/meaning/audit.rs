//! `[audit]`: the record of it all.

use std::{num::NonZeroU32, path::Path};

use super::{Reader, telemetry::ENDPOINT};
use crate::config::{
    audit::{Audit, Durability, EmailForm, OnFailure, Output},
    collector::Collector,
    nearest::did_you_mean,
    secret::SecretSource,
};

const KEY: &str = "audit.key";

/// The keys, whatever else is wrong: the present one, and those before it. `mend` says what to do
/// where there is none.
pub(super) fn keys(
    reader: &mut Reader<'_>,
    mend: &str,
) -> (Option<SecretSource>, Vec<SecretSource>) {
    let key = reader.needed_secret(KEY, KEY, mend);
    (key, previous_keys(reader))
}

pub(super) fn read(reader: &mut Reader<'_>, collector: Option<&Collector>) -> Option<Audit> {
    let outputs = outputs(reader, collector);
    let durability = match reader.text("audit.durability") {
        "synced" => Durability::Synced,
        _written => Durability::Written,
    };
    if durability == Durability::Synced {
        synced(reader, &outputs);
    }
    let (key, previous_keys) = keys(
        reader,
        "make one with: (umask 077; openssl rand -base64 32 > audit.key), and name that file in audit.key_file",
    );
    reader.warn_if_guessable(KEY, key.as_ref());
    Some(Audit {
        outputs,
        durability,
        timeout: reader.duration("audit.timeout"),
        on_failure: match reader.text("audit.on_failure") {
            "continue" => OnFailure::Continue,
            _deny => OnFailure::Deny,
        },
        email: match reader.text("audit.email") {
            "mask" => EmailForm::Mask,
            "plain" => EmailForm::Plain,
            _hash => EmailForm::Hash,
        },
        key: key?,
        previous_keys,
        chain: reader.flag("audit.chain"),
        rotate_size: Some(reader.bytes("audit.rotate.size")),
        rotate_age: Some(reader.duration("audit.rotate.age")).filter(|age| !age.is_zero()),
        rotate_compress: reader.flag("audit.rotate.compress"),
        rotate_keep: reader.count("audit.rotate.keep"),
        collapse: NonZeroU32::new(
            u32::try_from(reader.number("audit.collapse")).unwrap_or(u32::MAX),
        ),
    })
}

fn previous_keys(reader: &mut Reader<'_>) -> Vec<SecretSource> {
    const FILES: &str = "audit.previous_key_files";
    let mut sources = Vec::new();
    for file in reader.list(FILES) {
        let source = SecretSource::File(file.into());
        match source.read() {
            Ok(_secret) => sources.push(source),
            Err(error) => {
                let mend = "name a file that holds an earlier audit.key, or remove it";
                reader.problem(FILES, format!("{file} can't be read: {error}"), mend);
            }
        }
    }
    sources
}

fn outputs(reader: &mut Reader<'_>, collector: Option<&Collector>) -> Vec<Output> {
    const KEY: &str = "audit.output";
    let written = reader.list(KEY);
    if written.is_empty() {
        reader.problem(
            KEY,
            "is empty",
            "write stdout, stderr, otlp or a file's path",
        );
    }
    let mut outputs = Vec::new();
    for text in written {
        // what is wrong with an endpoint that is given was told already
        if text == "otlp" && collector.is_none() && reader.given(ENDPOINT).is_some() {
            continue;
        }
        match output(text, collector) {
            Ok(output) if outputs.contains(&output) => {
                reader.problem(KEY, format!("{text:?} stands there twice"), "name it once");
            }
            Ok(output) => outputs.push(output),
            Err((what, mend)) => reader.problem(KEY, format!("{text:?} {what}"), mend),
        }
    }
    // a collector takes records wherever else they go
    let beside = collector.cloned().map(Output::Otlp);
    outputs.extend(beside.filter(|_| !written.iter().any(|text| text == "otlp")));
    outputs
}

fn output(text: &str, collector: Option<&Collector>) -> Result<Output, (String, String)> {
    match text {
        "otlp" => {
            let mend = format!("name it in {ENDPOINT}, such as http://collector:4318");
            let collector = collector.cloned().map(Output::Otlp);
            return collector.ok_or_else(|| ("has no collector".into(), mend));
        }
        "stdout" => return Ok(Output::Stdout),
        "stderr" => return Ok(Output::Stderr),
        _path => {}
    }
    let path = Path::new(text);
    // A misspelt stdout would otherwise be a file of that name, wherever we were started.
    if !path.is_absolute() {
        let otherwise = "write stdout, stderr, otlp or an absolute path such as /var/log/mfa-gateway/audit.jsonl";
        let mend = did_you_mean(text, ["stdout", "stderr", "otlp"], otherwise);
        return Err(("is not an output".into(), mend));
    }
    if path.is_dir() {
        return Err(("is a directory".into(), "add a file's name to it".into()));
    }
    match path.parent() {
        Some(folder) if folder.is_dir() => Ok(Output::File(path.to_owned())),
        Some(folder) => Err((
            "has no directory to stand in".into(),
            format!("mkdir -p {}", folder.display()),
        )),
        None => Err(("is not a file".into(), "add a file's name to it".into())),
    }
}

fn synced(reader: &mut Reader<'_>, outputs: &[Output]) {
    const KEY: &str = "audit.durability";
    let file = |output: &Output| match output {
        Output::File(_) => true,
        Output::Otlp(_) | Output::Stderr | Output::Stdout => false,
    };
    if !outputs.iter().any(file) && !reader.problems.touch("audit.output") {
        reader.problem(
            KEY,
            "\"synced\" is for files, and audit.output names none",
            "add a file to audit.output, or write \"written\"",
        );
    } else if !outputs.iter().all(file) {
        reader.warn(
            KEY,
            "a record that only stdout, stderr or a collector has taken counts as kept, though it may be on no disk",
            "keep only files in audit.output, and no telemetry.otlp_endpoint",
        );
    }
}
