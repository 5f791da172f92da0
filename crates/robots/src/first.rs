//! List 1: woothee's crawlers, and programs that fetch link previews, in chat programs and social networks
//! each time a link is shared.
//!
//! The previews are those of <https://github.com/monperrus/crawler-user-agents> (1.60.0, MIT), each cut
//! down to what tells it from the browsers inside the same operators' apps, in which people click:
//! `[Pinterest/iOS]`, `Slack_SSB/`, `Snapchat/`, `FBAN/`. woothee alone takes what names a browser beside
//! the robot for a person (Applebot, Google-PageRenderer), and does not know names without "bot"
//! (WhatsApp, Slack-ImgProxy, SkypeUriPreview).

use woothee::parser::Parser;

/// First parts of user agents of previews.
const FIRST: [&str; 3] = ["WhatsApp/", "Pinterest/0.", "Mastodon/"];

/// Parts that stand anywhere in other user agents of previews.
const WITHIN: [&str; 22] = [
    "Applebot/",
    "BingPreview/",
    "Discordbot/",
    "Embedly/",
    "Google-PageRenderer",
    "Iframely/",
    "LinkedInBot/",
    "MicrosoftPreview/",
    "Pinterestbot/",
    "SkypeUriPreview",
    "Slack-ImgProxy",
    "Slackbot",
    "Snap URL Preview Service",
    "TelegramBot",
    "Twitterbot/",
    "Yahoo Link Preview",
    "(Mastodon/",
    "facebookcatalog/",
    "facebookexternalhit/",
    "meta-externalfetcher/",
    "redditbot/",
    "vkShare",
];

pub(crate) fn kind(user_agent: &str) -> Option<&'static str> {
    let is_crawler = || Parser::new().parse(user_agent).is_some_and(|agent| agent.category == "crawler");
    if declares(user_agent) { Some("social-preview") } else { is_crawler().then_some("crawler") }
}

/// Returns whether a user agent declares that it fetches for a link preview.
fn declares(user_agent: &str) -> bool {
    FIRST.iter().any(|name| user_agent.starts_with(name))
        || WITHIN.iter().any(|name| user_agent.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_told_from_people_in_the_same_apps() {
        for agent in [
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 \
             Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "Twitterbot/1.0",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Slack-ImgProxy (+https://api.slack.com/robots)",
            "Slackbot 1.0 (+https://api.slack.com/robots)",
            "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0 A",
            "Pinterest/0.2 (+https://www.pinterest.com/bot.html)",
            "Mozilla/5.0 (compatible; Pinterestbot/1.0; +https://www.pinterest.com/bot.html)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 \
             Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
            "Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)",
            "Mozilla/5.0 Google-PageRenderer Google (+https://developers.google.com/+/web/snippet/)",
            "http.rb/2.2.2 (Mastodon/1.5.1; +https://example-masto-instance.org/)",
            "Mastodon/4.3.0 (http.rb/5.2.0; +https://mastodon.example/)",
            "Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots",
        ] {
            assert!(declares(agent), "{agent}");
        }
        for agent in [
            "",
            "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/15E148 [Pinterest/iOS]",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Slack_SSB/4.36.140 \
             Chrome/124.0 Electron/30.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
             Mobile/21E219 [FBAN/FBIOS;FBAV/456.0.0.42.112]",
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/124.0 \
             Mobile Safari/537.36 Snapchat/12.85.0.38",
        ] {
            assert!(!declares(agent), "{agent}");
        }
    }
}
