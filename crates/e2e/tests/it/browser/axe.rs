//! Accessibility, as far as axe-core finds it by itself.

use anyhow::{Context as _, Result, ensure};
use clickwire_services::Package;

use super::Browser;

/// Runs in the page without being part of it.
const AXE: Package = Package::Node("axe-core", "4.14.1");

impl Browser {
    /// Fails on whatever axe objects to on the page as it is.
    pub(super) async fn is_accessible(&self, what: &str) -> Result<()> {
        self.objections(what, "").await
    }

    /// The same where the system has replaced all colours: axe reads those of before, so their contrast says nothing.
    pub(super) async fn is_accessible_in_forced_colours(&self, what: &str) -> Result<()> {
        self.objections(what, "'color-contrast': {enabled: false}").await
    }

    async fn objections(&self, what: &str, rules: &str) -> Result<()> {
        // Half a megabyte: once for a page that is loaded.
        if self.run("return typeof axe").await? == "undefined" {
            let script = std::fs::read_to_string(AXE.folder()?.join("axe.min.js")).context("axe.min.js")?;
            self.run(&script).await?;
        }
        let found = self
            .client
            .execute_async(
                // The size of targets is WCAG 2.2's, and off unless it is asked for. On a page that is scrolled it takes
                // what is half behind the bar for a small target.
                &format!(
                    "const done = arguments[arguments.length - 1], y = scrollY; \
                     scrollTo(0, 0); \
                     const rules = {{'target-size': {{enabled: true}}, {rules}}}; \
                     axe.run(document, {{resultTypes: ['violations'], rules}}).then(({{violations}}) => {{ \
                       scrollTo(0, y); \
                       done(violations.map(v => v.id + ': ' + \
                         v.nodes.slice(0, 4).map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | '))); \
                     }})"
                ),
                vec![],
            )
            .await?;
        let found = found.as_array().context("axe said nothing")?;
        ensure!(found.is_empty(), "{what}: {found:#?}");
        Ok(())
    }
}
