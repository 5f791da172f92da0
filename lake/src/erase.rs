//! Rows without their users: counts stay, and what says whose a click was goes. Files with such rows are written
//! again.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use iceberg::spec::DataFile;

use crate::{
    columns::{self, Values, wrong},
    error::Unavailable,
    objects::Objects,
    rows::{self, Row},
    table::Table,
};

/// Which of the users a row's is, by advertiser and name; `None`: another one.
pub(crate) type Whose<'a> = &'a (dyn Fn(&str, &str) -> Option<usize> + Send + Sync);

/// A file's rows without users.
pub(crate) struct Without {
    pub(crate) rows: RecordBatch,
    /// The number of rows of each user.
    pub(crate) erased: Vec<u64>,
}

/// A file without some users, of whom there are `users`; `None` if it has no row of theirs.
pub(crate) async fn without(
    table: &Table,
    objects: &Objects,
    file: &DataFile,
    (users, whose): (usize, Whose<'_>),
) -> Result<Option<Without>, Unavailable> {
    let content = objects.get(file.file_path()).await?;
    let mut is_there = false;
    for batch in columns::batches_of(content.clone(), &["advertiser_id", "user_id"])? {
        is_there = is_there || has_one(&Values(&batch?), whose).map_err(|error| wrong(&error))?;
    }
    if !is_there {
        return Ok(None);
    }
    let (mut erased, mut kept) = (vec![0; users], Vec::new());
    for batch in columns::batches(content)? {
        let mut rows = rows::rows(&batch?)?;
        for row in &mut rows {
            let advertiser = row.click.advertiser_id.as_str();
            let user = row.click.user_id.as_deref().and_then(|user| whose(advertiser, user));
            if let Some(count) = user.and_then(|user| erased.get_mut(user)) {
                *count += 1;
                erase(row);
            }
        }
        kept.push(rows::batch(table.metadata.current_schema(), rows.iter().collect())?);
    }
    let Some(schema) = kept.first().map(RecordBatch::schema) else { return Ok(None) };
    let rows = concat_batches(&schema, &kept).map_err(|error| wrong(&error))?;
    Ok(Some(Without { rows, erased }))
}

fn has_one(values: &Values<'_>, whose: Whose<'_>) -> anyhow::Result<bool> {
    for at in 0..values.0.num_rows() {
        if let Some(user) = values.optional("user_id", at)?
            && whose(&values.text("advertiser_id", at)?, &user).is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn erase(row: &mut Row) {
    let click = &mut row.click;
    click.user_id = None;
    click.ip_hash = None;
    click.user_agent.clear();
    click.os = None;
    click.browser = None;
    click.referrer = None;
    click.params.clear();
}
