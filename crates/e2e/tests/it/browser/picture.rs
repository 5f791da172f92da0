//! The chart as a picture: a file with what the chart shows, in the colours of the page, with twice its points.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clickwire_e2e::{Stack, eventually};
use serde_json::{Value, json};

use super::{Browser, files::saved, live};

/// Script that measures a picture: its size, the brightness of its corner, and the number of its colours.
const LOOKED_AT: &str = "const done = arguments[1]; const image = new Image(); image.onerror = () => done(null); \
    image.onload = () => { const canvas = document.createElement('canvas'); canvas.width = image.width; \
    canvas.height = image.height; const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); \
    const data = context.getImageData(0, 0, image.width, image.height).data; const colours = new Set(); \
    for (let at = 0; at < data.length; at += 4) colours.add((data[at] << 16) + (data[at + 1] << 8) + data[at + 2]); \
    done({width: image.width, height: image.height, corner: data[0], colours: colours.size}); }; \
    image.src = 'data:image/png;base64,' + arguments[0];";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_is_saved_as_a_picture_in_the_colours_of_the_page() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 200).await?;
    live::counted(&stack, 200).await?;
    let browser = Browser::start().await?;
    let folder = tempfile::TempDir::new()?;
    let allowed = json!({"behavior": "allow", "downloadPath": folder.path()});
    browser.devtools("Browser.setDownloadBehavior", allowed).await?;
    for (shape, theme) in [("lines", "light"), ("stack", "dark"), ("bars", "light")] {
        let address = format!("/explore?r=1h&z=UTC&by=campaign&g=minute&v={shape}&f=device:mobile,desktop");
        browser.visit(&stack, &address, &Stack::viewer_token("adv_001")).await?;
        eventually("the chart is there", Duration::from_secs(10), async || {
            browser.attribute("explore-chart", "data-buckets").await
        })
        .await?;
        browser.appears(1200, 900, theme).await?;
        browser.click("[aria-haspopup=menu][aria-label=Export]").await?;
        browser.click("[role=menuitem][data-key=png]").await?;
        let bytes = saved(folder.path(), "png").await?;
        ensure!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{shape}: it begins with {:?}", &bytes[..8]);
        if let Some(screenshots) = std::env::var_os("CLICKWIRE_SCREENSHOTS") {
            std::fs::write(std::path::Path::new(&screenshots).join(format!("picture-{shape}.png")), &bytes)?;
        }
        let area = browser.run("return document.querySelector('.plot-area').clientWidth").await?;
        let area = area.as_u64().context("no width")?;
        let looked = browser.client.execute_async(LOOKED_AT, vec![json!(STANDARD.encode(&bytes))]).await?;
        let number = |name: &str| looked[name].as_u64().with_context(|| format!("no {name}: {looked}"));
        ensure!(number("width")? > 2 * area, "{shape}: {looked}, the chart has {area}");
        ensure!(number("height")? > 400, "{shape}: {looked}");
        // Text, axes and lines: more than a ground alone.
        ensure!(number("colours")? > 20, "{shape} is empty: {looked}");
        ensure!((number("corner")? > 128) == (theme == "light"), "{shape} in {theme}: {looked}");
    }
    let errors: Vec<String> = browser.errors().await?;
    ensure!(errors.is_empty(), "{errors:?}");
    ensure!(browser.run("return document.querySelector('[role=alert]')").await? == Value::Null);
    Ok(())
}
