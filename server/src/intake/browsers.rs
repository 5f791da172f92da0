//! Device, operating system and browser from a user agent, by woothee's published list.

use std::sync::Arc;

use clickwire_protocol::counts::DeviceType;
use quick_cache::sync::Cache;
use woothee::parser::Parser;

/// User agents remembered, at most; the frequent ones are few, and reading one takes 10 µs and more.
const REMEMBERED: usize = 10_000;

/// Value that woothee returns for what it does not know.
const UNKNOWN: &str = "UNKNOWN";

/// Words of user agents on television sets and the boxes beside them, which woothee takes for computers.
const TELEVISIONS: [&str; 8] =
    ["SmartTV", "SMART-TV", "Smart TV", "AppleTV", "Apple TV", "Android TV", "GoogleTV", "BRAVIA"];

/// The browser that a user agent tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Browser {
    pub(crate) device_type: DeviceType,
    /// Operating system, such as `Windows 10` or `Android`.
    pub(crate) os: Option<String>,
    /// Browser, such as `Chrome`.
    pub(crate) name: Option<String>,
}

/// Reads user agents and remembers those that come often.
pub(crate) struct Browsers {
    parser: Parser,
    remembered: Cache<String, Arc<Browser>>,
}

impl Browsers {
    pub(crate) fn new() -> Self {
        Self { parser: Parser::new(), remembered: Cache::new(REMEMBERED) }
    }

    pub(crate) fn read(&self, user_agent: &str) -> Arc<Browser> {
        if let Some(known) = self.remembered.get(user_agent) {
            return known;
        }
        let browser = Arc::new(self.parse(user_agent));
        self.remembered.insert(user_agent.to_owned(), Arc::clone(&browser));
        browser
    }

    fn parse(&self, user_agent: &str) -> Browser {
        let is_television = TELEVISIONS.iter().any(|word| user_agent.contains(word));
        let Some(found) = self.parser.parse(user_agent) else {
            let device_type = if is_television { DeviceType::Tv } else { DeviceType::Other };
            return Browser { device_type, os: None, name: None };
        };
        let device_type = match found.category {
            _ if is_television => DeviceType::Tv,
            "pc" => DeviceType::Desktop,
            // Chrome's rule: an Android that is no phone leaves the word out.
            "smartphone"
                if found.os == "iPad" || (found.os == "Android" && !user_agent.contains("Mobile")) =>
            {
                DeviceType::Tablet
            }
            "smartphone" | "mobilephone" => DeviceType::Mobile,
            "appliance" if found.name == "InternetTVBrowser" => DeviceType::Tv,
            _ => DeviceType::Other,
        };
        let known = |text: &str| (text != UNKNOWN && !text.is_empty()).then(|| text.to_owned());
        Browser { device_type, os: known(found.os), name: known(found.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_browsers_are_told_apart() {
        let browsers = Browsers::new();
        for (agent, device_type, os, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                DeviceType::Desktop,
                Some("Windows 10"),
                Some("Firefox"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.0 Mobile/15E148 Safari/604.1",
                DeviceType::Mobile,
                Some("iPhone"),
                Some("Safari"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/139.0.0.0 Safari/537.36",
                DeviceType::Tablet,
                Some("Android"),
                Some("Chrome"),
            ),
            (
                "Mozilla/5.0 (SMART-TV; Linux; Tizen 8.0) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/108.0 TV Safari/537.36",
                DeviceType::Tv,
                Some("Linux"),
                Some("Chrome"),
            ),
            ("", DeviceType::Other, None, None),
            ("no browser at all", DeviceType::Other, None, None),
        ] {
            for _ in ["first seen", "remembered"] {
                let read = browsers.read(agent);
                let found = (read.device_type, read.os.as_deref(), read.name.as_deref());
                assert_eq!(found, (device_type, os, name), "{agent}");
            }
        }
    }
}
