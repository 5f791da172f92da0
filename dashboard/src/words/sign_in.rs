//! Texts of the sign-in, and of the viewer's choices for the page itself.

use crate::theme::Theme;

texts! {
    SIGN_IN_LEAD = "Watch your clicks as they happen.";
    ACCESS_TOKEN = "Access token";
    SIGN_IN_LOGIN = "E-mail address or user name";
    SIGNING_IN = "Signing in…";
    SIGN_IN = "Sign in";
    SHOW_DASHBOARD = "Show the dashboard";
    TOKEN_STAYS = "The token stays in this tab and is forgotten when you close it.";
    SIGN_IN_BY_PASSWORD = "Sign in with a password";
    SIGN_IN_BY_TOKEN = "Use an access token instead";
    TOKEN_REFUSED = "That token was not accepted. It may have been mistyped or withdrawn.";
    YOU_WERE_SIGNED_OUT = "You were signed out. Sign in to go on.";
    SERVER_SILENT = "The server does not answer now. This page goes on as soon as it does.";
    SIGN_IN_WRONG = "That name and password don’t belong together.";
    SIGN_IN_TOO_OFTEN = "Too many attempts. Wait a minute, then try again.";
    SIGN_IN_AWAY = "The server can’t be reached now. Try again in a moment.";
    SWITCH_COLOURS = "Switch between automatic, light and dark colours";
    LANGUAGE = "Language";
    LANGUAGE_OF_BROWSER = "As the browser says";
    LANGUAGE_HINT = "The page is loaded again in the language that is chosen.";
}

/// A choice of colours, on its button.
pub fn theme(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => say!("Auto"),
        Theme::Light => say!("Light"),
        Theme::Dark => say!("Dark"),
    }
}

/// The button of colours, with what is chosen.
pub fn colours_are(chosen: Theme) -> String {
    say!("Colours: {theme}", theme = theme(chosen))
}
