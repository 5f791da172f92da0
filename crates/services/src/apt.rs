//! Debian 13's packages, downloaded by apt with a configuration of our own and unpacked beside the
//! system instead of into it. Works on Debian 12 as well, without root, and believes apt's
//! signature checks: they are never switched off.
//!
//! The mirror is the one that the machine's own apt uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Error;

const SUITE: &str = "trixie";

/// The packages to install; apt adds what these depend on. `patchelf` is for [`crate::patch`].
const WANTED: [&str; 3] = ["postgresql-17-timescaledb", "valkey-server", "patchelf"];

/// Debian's keys, under their old name and their new one.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Downloads the servers and all they need into `work` and unpacks them into `root`.
pub(crate) fn unpack_servers(work: &Path, root: &Path, progress: &dyn Fn(&str)) -> Result<(), Error> {
    let candidates = mirrors()?;
    let mut refusal = String::new();
    for mirror in candidates {
        progress(&format!("Reading the package lists of {mirror}"));
        let apt = Apt::configure(work, &mirror)?;
        match apt.download(progress) {
            Ok(packages) => return unpack(&packages, root, progress),
            Err(Error::Command { output, .. }) => refusal = format!("{mirror}: {}", output.trim()),
            Err(other) => return Err(other),
        }
    }
    Err(Error::CannotInstall(format!(
        "the Debian mirror doesn't deliver {SUITE} (if its signature is refused, upgrade the package \
         debian-archive-keyring): {refusal}"
    )))
}

/// Mirrors of Debian's main archive in the machine's own configuration.
fn mirrors() -> Result<Vec<String>, Error> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE) $(COMPONENT)"]);
    let listed = run(&mut command)
        .map_err(|error| Error::CannotInstall(format!("this machine has no working apt ({error})")))?;
    let mirrors = debian_mirrors(&String::from_utf8_lossy(&listed.stdout));
    if mirrors.is_empty() {
        return Err(Error::CannotInstall("apt's configuration names no Debian mirror".to_owned()));
    }
    Ok(mirrors)
}

/// From lines of site, release and component. Security updates come from a site of their own, which
/// doesn't have the archive; other projects' sites don't name their suites like Debian does.
fn debian_mirrors(targets: &str) -> Vec<String> {
    let mut mirrors = Vec::new();
    for line in targets.lines() {
        let mut words = line.split_whitespace();
        let (Some(site), Some(release), Some("main")) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let suite = release.split('-').next().unwrap_or(release);
        let known = ["bookworm", "trixie", "forky", "oldstable", "stable", "testing", "sid"].contains(&suite);
        if known && !release.ends_with("-security") && !mirrors.iter().any(|mirror| mirror == site) {
            mirrors.push(site.to_owned());
        }
    }
    mirrors
}

struct Apt {
    config: PathBuf,
    packages: PathBuf,
}

impl Apt {
    /// Writes a configuration under which everything that apt reads or writes lies in `work`; of the machine's own,
    /// only the way to a mirror (proxies, credentials, time-outs) is taken over.
    fn configure(work: &Path, mirror: &str) -> Result<Self, Error> {
        let packages = work.join("packages");
        for folder in ["state/lists/partial", "cache/archives/partial", "none", "sources", "packages"] {
            let folder = work.join(folder);
            fs::create_dir_all(&folder)
                .map_err(Error::io(|| format!("cannot create {}", folder.display())))?;
        }
        let keyring = KEYRINGS.iter().find(|keyring| Path::new(keyring).exists());
        let signed_by = keyring.map(|keyring| format!("Signed-By: {keyring}\n")).unwrap_or_default();
        let source = format!("Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{signed_by}");
        write(&work.join("sources/debian.sources"), &source)?;
        write(&work.join("status"), "")?;

        let config = work.join("apt.conf");
        let acquire = run(Command::new("apt-config").arg("dump"))?;
        let acquire: String = String::from_utf8_lossy(&acquire.stdout)
            .lines()
            .filter(|line| line.starts_with("Acquire::") && !line.starts_with("Acquire::IndexTargets"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let work = work.display();
        let text = format!(
            r#"{acquire}
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "0";
APT::Sandbox::User "root";
Dir::Cache "{work}/cache";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{work}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{work}/none";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{work}/sources";
Dir::State "{work}/state";
Dir::State::status "{work}/status";
"#
        );
        write(&config, &text)?;
        Ok(Self { config, packages })
    }

    fn download(&self, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>, Error> {
        run(self.get().args(["--error-on=any", "update"]))?;
        // With an empty status file nothing counts as installed, so this names all dependencies.
        let plan = run(self.get().args(["--print-uris", "-qq", "install"]).args(WANTED))?;
        let plan = Plan::read(&String::from_utf8_lossy(&plan.stdout));
        progress(&format!(
            "Downloading {} packages ({} MB)",
            plan.packages.len(),
            plan.size_bytes / 1_000_000
        ));
        run(self.get().args(["-qq", "download"]).args(&plan.packages).current_dir(&self.packages))?;
        let failed = || format!("cannot read {}", self.packages.display());
        let files = fs::read_dir(&self.packages).map_err(Error::io(failed))?;
        files.map(|file| Ok(file.map_err(Error::io(failed))?.path())).collect()
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// The part of the dependencies that is needed: the servers and shared libraries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    packages: Vec<String>,
    size_bytes: u64,
}

impl Plan {
    /// From lines of quoted address, `name_version_architecture.deb`, size and checksum.
    fn read(lines: &str) -> Self {
        let mut plan = Self::default();
        for line in lines.lines() {
            let mut words = line.split_whitespace().skip(1);
            let (Some(file), Some(size)) = (words.next(), words.next()) else { continue };
            let name = file.split('_').next().unwrap_or(file);
            if is_needed(name) {
                plan.packages.push(name.to_owned());
                plan.size_bytes += size.parse::<u64>().unwrap_or(0);
            }
        }
        plan
    }
}

/// Leaves out what only set up a system, and the compiler of PostgreSQL's JIT, which we switch off.
fn is_needed(package: &str) -> bool {
    let servers = ["postgresql-17", "postgresql-client-17", "valkey-tools"];
    let superfluous = ["libllvm", "libz3-", "libc-bin", "libc-l10n", "libpam-modules", "libsemanage"];
    let is_perl = package.contains("perl");
    let is_library = package.starts_with("lib") && !is_perl;
    (is_library && !superfluous.iter().any(|prefix| package.starts_with(prefix)))
        || servers.contains(&package)
        || WANTED.contains(&package)
}

fn unpack(packages: &[PathBuf], root: &Path, progress: &dyn Fn(&str)) -> Result<(), Error> {
    progress("Unpacking");
    for package in packages {
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(root))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::io(|| format!("cannot write {}", path.display())))
}

/// Runs a program to its end and refuses any status but success.
pub(crate) fn run(command: &mut Command) -> Result<Output, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(Error::io(|| format!("cannot run {program}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Err(Error::Command { program, status: output.status, output: said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_debian_itself_once_each() {
        let targets = "http://mirror.test/debian bookworm main\n\
            http://mirror.test/debian bookworm-updates main\n\
            http://mirror.test/debian-security bookworm-security main\n\
            http://node.test/node_20.x nodistro main\n\
            http://other.test/debian stable main\n";
        assert_eq!(debian_mirrors(targets), ["http://mirror.test/debian", "http://other.test/debian"]);
    }

    #[test]
    fn a_plan_keeps_servers_and_libraries() {
        let lines = "'http://m.test/a' libc6_2.41-12_amd64.deb 2800000 SHA256:0\n\
            'http://m.test/b' libllvm19_19.1.7_amd64.deb 26000000 SHA256:0\n\
            'http://m.test/c' libjson-perl_4.1_all.deb 87516 SHA256:0\n\
            'http://m.test/d' adduser_3.152_all.deb 190932 SHA256:0\n\
            'http://m.test/e' valkey-server_8.1.1_amd64.deb 4500000 SHA256:0\n";
        let packages = vec!["libc6".to_owned(), "valkey-server".to_owned()];
        assert_eq!(Plan::read(lines), Plan { packages, size_bytes: 7_300_000 });
    }
}
