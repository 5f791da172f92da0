//! Errors as GraphQL tells them: what the same error says over HTTP, with its code in `extensions`.

use async_graphql::{ErrorExtensions as _, Value};

use crate::http::error::Error;

/// The reason why a field was not answered. It exposes only what a caller may be told, so that `?` can't leak more.
pub(super) struct Refused(Error);

impl<E: Into<Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Refused> for async_graphql::Error {
    fn from(Refused(error): Refused) -> Self {
        error.record();
        let told = Self::new(error.message());
        told.extend_with(|_, extensions| {
            extensions.set("code", error.code());
            if let Error::Invalid(rejection) = &error {
                let fields = rejection.field_errors.iter();
                let fields = fields.map(|(name, messages)| {
                    (async_graphql::Name::new(camel_case(name)), Value::from(messages.clone()))
                });
                extensions.set("fieldErrors", Value::Object(fields.collect()));
                extensions.set("formErrors", rejection.form_errors.clone());
            }
        })
    }
}

/// A parameter's name as an argument has it.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        name + &initial.into_iter().chain(letters).collect::<String>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_as_it_was_given() {
        for (name, expected) in
            [("limit", "limit"), ("group_by", "groupBy"), ("exclude_device_type", "excludeDeviceType")]
        {
            assert_eq!(camel_case(name), expected);
        }
        let told = async_graphql::Error::from(Refused(Error::field("group_by", "Names a dimension twice.")));
        let extensions = told.extensions.expect("extensions");
        assert_eq!(extensions.get("code"), Some(&Value::from("invalid")));
        let fields = extensions.get("fieldErrors").expect("fields").to_string();
        assert!(fields.contains("groupBy") && fields.contains("twice"), "{fields}");
    }
}
