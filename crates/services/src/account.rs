//! The user that the servers run as. PostgreSQL refuses to run as root, so as root everything runs as an
//! unprivileged user that the machine already has, and owns its data folder.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::Error;

/// Users to look for, best first: every Debian has the second.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The user to drop to, or `None` if we aren't root and simply stay who we are.
    pub fn to_drop_to() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")
            .map_err(Error::io(|| "cannot read /etc/passwd".to_owned()))?;
        CANDIDATES.iter().find_map(|name| Self::find(&users, name)).map(Some).ok_or(Error::NoAccount)
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        // The standard library drops root's supplementary groups along with the user id.
        command.uid(self.uid).gid(self.gid).env("HOME", "/").env("USER", &self.name);
    }

    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(Error::io(|| format!("cannot give {} to the user {}", path.display(), self.name)))
    }

    /// Refuses a path that this user can't reach, for the servers' own messages wouldn't say why.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), Error> {
        let mut command = Command::new("test");
        command.arg("-x").arg(path);
        self.apply(&mut command);
        let reached = command.current_dir("/").status().is_ok_and(|status| status.success());
        if reached {
            return Ok(());
        }
        Err(Error::OutOfReach { path: path.to_owned(), account: self.name.clone() })
    }

    fn find(users: &str, name: &str) -> Option<Self> {
        let mut fields = users
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:1:1::/:/bin/sh\nnobody:x:65534:65533::/:/bin/sh\n";
        let nobody = Account { name: "nobody".to_owned(), uid: 65534, gid: 65533 };
        assert_eq!(Account::find(users, "nobody"), Some(nobody));
        assert_eq!(Account::find(users, "postgres"), None);
    }
}
