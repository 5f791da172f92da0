//! The dashboard in a real browser. Screenshots go to the folder `CLICKWIRE_SCREENSHOTS`, if set.

mod layout;
mod many;
mod stale;

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Buckets, MINUTE, Stack, eventually, room_in};
use clickwire_load::{demo, http::Server};
use clickwire_services::{Port, Reservation};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::live;

mod ads;
mod annotations;
mod away;
mod axe;
mod catalogue;
mod dead_letters;
mod deployment;
mod developers;
mod files;
mod first;
mod flows;
mod german;
mod incidents;
mod long;
mod memory;
mod narrow;
mod own;
mod pages;
mod picture;
mod pipeline;
mod rules;
mod single;
mod statement;
mod storage;
mod test_clicks;
mod wall;
mod year;

/// Keys that select all of a field: Control and A, released (WebDriver, "Keyboard actions").
const SELECT_ALL: &str = "\u{E009}a\u{E000}";

/// A headless Chromium with a profile of its own; both end with this.
struct Browser {
    client: Client,
    driver: Group,
    port: Reservation,
    _profile: TempDir,
}

/// A process and those that it has started; all end with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            // One that has ended needs no end.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Browser {
    async fn start() -> Result<Self> {
        Self::start_with(&json!({})).await
    }

    /// With further options of Chromium's.
    async fn start_with(further: &Value) -> Result<Self> {
        let port = Port::Free.reserve("chromedriver")?;
        let profile = TempDir::new()?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={}", port.port()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // With the browser that it starts.
            .process_group(0)
            .spawn()
            .context("chromedriver: install Debian's packages chromium and chromium-driver")?;
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let mut options = json!({"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--hide-scrollbars", profile_flag,
        ]});
        for (name, value) in further.as_object().into_iter().flatten() {
            options[name] = value.clone();
        }
        let capabilities = serde_json::Map::from_iter([
            ("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"})),
            ("goog:chromeOptions".to_owned(), options),
            // Those of the tests are signed by nobody else.
            ("acceptInsecureCerts".to_owned(), json!(true)),
        ]);
        let url = format!("http://127.0.0.1:{}", port.port());
        let driver = Group(driver);
        let client = eventually("Chromium", Duration::from_secs(30), async || {
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities.clone())
                .connect(&url)
                .await
                .ok()
        })
        .await?;
        Ok(Self { client, driver, port, _profile: profile })
    }

    /// Opens an advertiser's page by the link with a token, and waits until it is live.
    async fn open(&self, server_url: &str, advertiser_id: &str) -> Result<()> {
        self.client.goto(&format!("{server_url}/#token={}", Stack::viewer_token(advertiser_id))).await?;
        self.becomes("live", Duration::from_secs(20)).await.map(drop)
    }

    /// Waits until the page says that its numbers are in a state; returns how long that took.
    async fn becomes(&self, state: &str, within: Duration) -> Result<Duration> {
        let since = Instant::now();
        eventually(&format!("the page is {state}"), within, async || {
            (self.attribute("connection", "data-state").await? == state).then(|| since.elapsed())
        })
        .await
    }

    /// The process of the driver: it leads the group of all that it has started.
    fn driver_process(&self) -> Option<u32> {
        self.driver.0.id()
    }

    /// Sends the driver a command of its own.
    async fn driver(&self, path: &str, body: &Value) -> Result<Value> {
        let session = self.client.session_id().await?.context("no session")?;
        let driver = Server::new(&format!("http://127.0.0.1:{}", self.port.port()), "")?;
        let path = format!("/session/{session}/{path}");
        let (status, answer) = driver.connection().post(&path, body.to_string().into_bytes()).await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice::<Value>(&answer)?["value"].take())
    }

    /// Sends the browser a command of the DevTools protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.driver("goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
    }

    /// A screen of this size; narrower than a window may be.
    async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Errors on the console since it was looked at last.
    async fn errors(&self) -> Result<Vec<String>> {
        let log = self.driver("se/log", &json!({"type": "browser"})).await?;
        let entries = log.as_array().into_iter().flatten();
        let errors = entries.filter(|entry| entry["level"] == "SEVERE");
        Ok(errors.map(|entry| entry["message"].to_string()).collect())
    }

    /// The text that a person sees.
    async fn text(&self) -> Result<String> {
        Ok(self.run("return document.body.innerText").await?.as_str().unwrap_or_default().to_owned())
    }

    async fn attribute(&self, testid: &str, name: &str) -> Option<String> {
        let selector = format!("[data-testid={testid}]");
        self.client.find(Locator::Css(&selector)).await.ok()?.attr(name).await.ok()?
    }

    async fn number(&self, testid: &str) -> Option<f64> {
        self.attribute(testid, "data-value").await?.parse().ok()
    }

    /// Opens an address of the server's, by a token.
    async fn visit(&self, stack: &Stack, address: &str, token: &str) -> Result<()> {
        // Another fragment alone would load nothing.
        self.client.goto("about:blank").await?;
        self.client.goto(&format!("{}{address}#token={token}", stack.server_url())).await?;
        Ok(())
    }

    /// Clicks on what is there, or will be in a moment.
    async fn click(&self, css: &str) -> Result<()> {
        self.client
            .wait()
            .for_element(Locator::Css(css))
            .await
            .with_context(|| css.to_owned())?
            .click()
            .await?;
        Ok(())
    }

    /// Enters a text into a field in place of what stands there, as a person does. A field that the driver clears tells
    /// the page nothing, and has its text again if the page is drawn before the new one is typed.
    async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let field =
            self.client.wait().for_element(Locator::Css(css)).await.with_context(|| css.to_owned())?;
        field.send_keys(&format!("{SELECT_ALL}{text}")).await?;
        Ok(())
    }

    /// Chooses in a list.
    async fn choose(&self, css: &str, value: &str) -> Result<()> {
        let list = self.client.wait().for_element(Locator::Css(css)).await.with_context(|| css.to_owned())?;
        list.select_by_value(value).await?;
        Ok(())
    }

    /// Waits until a text is seen.
    async fn sees(&self, text: &str) -> Result<()> {
        eventually(&format!("{text} is on the screen"), Duration::from_secs(10), async || {
            self.text().await.ok()?.contains(text).then_some(())
        })
        .await
    }

    async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// The page at a size and in colours, laid out and drawn.
    async fn appears(&self, width: u32, height: u32, theme: &str) -> Result<()> {
        self.resize(width, height).await?;
        self.run(&format!("document.documentElement.setAttribute('data-theme', '{theme}')")).await?;
        // Two frames: one to lay out, one to draw.
        self.client
            .execute_async("const done = arguments[0]; setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(1))), 600)", vec![])
            .await?;
        Ok(())
    }

    async fn screenshot(&self, name: &str, width: u32, height: u32, theme: &str) -> Result<()> {
        if std::env::var_os("CLICKWIRE_SCREENSHOTS").is_none() {
            return Ok(());
        }
        self.appears(width, height, theme).await?;
        self.picture(name).await
    }

    /// Shows the page in all these ways: it is accessible in each; a picture of each. It stays as in the first.
    async fn looks(&self, ways: &[(&str, u32, u32, &str)]) -> Result<()> {
        for &(name, width, height, theme) in ways {
            self.appears(width, height, theme).await?;
            self.is_accessible(name).await?;
            self.picture(name).await?;
        }
        let Some(&(_, width, height, theme)) = ways.first() else { return Ok(()) };
        self.appears(width, height, theme).await
    }

    /// Returns the error that is shown at a field.
    async fn fault_of(&self, field: &str) -> Result<String> {
        let css = format!("#{field}-error");
        Ok(self.client.wait().for_element(Locator::Css(&css)).await?.text().await?)
    }

    /// The page as it is, in the folder of pictures, if there is one.
    async fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("CLICKWIRE_SCREENSHOTS").map(PathBuf::from) else {
            return Ok(());
        };
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), self.client.screenshot().await?)?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advertiser_opens_the_link_and_watches_clicks_arrive() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    demo::history(Server::new(stack.server_url(), Stack::ingest_key())?, 1.0, 119).await?;
    let ours = async || -> Option<i64> {
        sqlx::query_scalar(
            "SELECT sum(valid + givt + sivt)::bigint FROM click_minutes WHERE advertiser_id = 'adv_001' \
                AND bucket > date_trunc('minute', now()) - INTERVAL '1 hour'",
        )
        .fetch_one(stack.database())
        .await
        .ok()?
    };
    let stream_is_counted =
        async || (stack.ledger().await.ok()? == stack.received(Buckets::Minutes).await.ok()?).then_some(());
    eventually("the history is counted", Duration::from_secs(40), stream_is_counted).await?;

    let browser = Browser::start().await?;
    let page = format!("{}/#token={}", stack.server_url(), Stack::viewer_token("adv_001"));
    browser.client.goto(&page).await?;
    browser.becomes("live", Duration::from_secs(20)).await?;
    eventually("the card equals the database", Duration::from_secs(10), async || {
        (browser.number("kpi-clicks").await? == ours().await? as f64).then_some(())
    })
    .await?;
    eventually("it is compared with the hour before", Duration::from_secs(10), async || {
        let text = browser.text().await.ok()?;
        ["than the hour before", "as many as the hour before"]
            .iter()
            .any(|said| text.contains(said))
            .then_some(())
    })
    .await?;
    let address = browser.client.current_url().await?;
    ensure!(address.fragment().is_none(), "the token stays in the address bar: {address}");
    let drawn = browser
        .run(
            "const c = document.querySelector('[data-testid=chart]'); \
             const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; \
             let n = 0; for (let i = 3; i < d.length; i += 4) { if (d[i]) n++ } return n / (c.width * c.height)",
        )
        .await?;
    ensure!(drawn.as_f64().is_some_and(|share| share > 0.02), "the chart is blank: {drawn}");

    // With a minute's end the oldest one leaves the screen, and its clicks do, though not in the same instant.
    room_in(MINUTE, Duration::from_secs(10)).await;
    let before = eventually("the screen shows this minute's hour", Duration::from_secs(10), async || {
        let shown = browser.number("kpi-clicks").await?;
        (shown == ours().await? as f64).then_some(shown)
    })
    .await?;
    let mut poster = stack.poster()?;
    for _ in 0..10 {
        let click = json!({"advertiser_id": "adv_001", "campaign_id": "camp_002", "ad_id": "ad_003", "country": "SE",
            "device_type": "mobile", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"});
        let (status, _) = poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        ensure!(status.as_u16() == 202, "{status}");
    }
    eventually("ten clicks arrive on the screen", Duration::from_secs(3), async || {
        (browser.number("kpi-clicks").await? >= before + 10.0).then_some(())
    })
    .await?;

    browser.screenshot("dashboard-light.png", 1360, 1130, "light").await?;
    browser.screenshot("dashboard-dark.png", 1360, 1130, "dark").await?;
    browser.screenshot("dashboard-phone.png", 500, 1100, "dark").await?;

    browser.client.goto("about:blank").await?;
    browser.client.goto(&format!("{}/#token=nonsense-nonsense", stack.server_url())).await?;
    eventually("an unknown token is refused", Duration::from_secs(10), async || {
        let text = browser.run("return document.body.innerText").await.ok()?;
        text.as_str()?.to_lowercase().contains("token").then_some(())
    })
    .await?;
    ensure!(browser.number("kpi-clicks").await.is_none(), "a stranger sees numbers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_and_out() -> Result<()> {
    signs_in_and_out(Stack::new().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_and_out_over_tls() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.certify()?;
    signs_in_and_out(stack).await
}

async fn signs_in_and_out(mut stack: Stack) -> Result<()> {
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let password = stack.account("anna@shop.example", "advertiser", &["adv_001"]).await?;
    let browser = Browser::start().await?;
    let fill = async |password: &str| -> Result<()> {
        for (field, value) in [("#login", "Anna@shop.example"), ("#password", password)] {
            browser.fill(field, value).await?;
        }
        browser.client.find(Locator::Css("button.primary")).await?.click().await?;
        Ok(())
    };
    browser.client.goto(stack.server_url()).await?;
    browser.client.wait().for_element(Locator::Css("#login")).await?;
    assert_eq!(browser.errors().await?, Vec::<String>::new(), "of a browser in which nobody has signed in");
    for (name, width, height, theme) in [
        ("sign-in-light.png", 1280, 800, "light"),
        ("sign-in-dark.png", 1280, 800, "dark"),
        ("sign-in-phone.png", 390, 844, "light"),
    ] {
        browser.screenshot(name, width, height, theme).await?;
    }
    fill("not her password").await?;
    let problem = browser.client.wait().for_element(Locator::Css("[role=alert]")).await?;
    assert_eq!(problem.text().await?, "That name and password don’t belong together.");
    browser.screenshot("sign-in-refused.png", 390, 844, "dark").await?;
    fill(&password).await?;
    browser.becomes("live", Duration::from_secs(20)).await?;
    let readable =
        browser.run("return document.cookie + JSON.stringify({...sessionStorage, ...localStorage})").await?;
    let readable = readable.as_str().unwrap_or_default();
    ensure!(
        !readable.contains("clickwire=") && !readable.contains(&password),
        "a script can read {readable}"
    );

    // Another tab, or the same one loaded again, is let in by the cookie.
    browser.client.refresh().await?;
    browser.becomes("live", Duration::from_secs(20)).await?;
    browser.click(".you-button").await?;
    browser.click("[data-key=out]").await?;
    browser.client.wait().for_element(Locator::Css("#login")).await?;
    eventually("the cookie is gone", Duration::from_secs(5), async || {
        browser.client.get_all_cookies().await.ok()?.is_empty().then_some(())
    })
    .await?;
    browser.client.refresh().await?;
    browser.client.wait().for_element(Locator::Css("#login")).await?;
    Ok(())
}
