//! What one document of the feed says.
//!
//! Keys and clients come whole, revocations in the order of their changes and no more than a fixed number at a time. Of
//! what is left out the next document tells, which continues after the last number told: what expires meanwhile is not
//! missed, and what is added meanwhile has a higher number.

use postern_access::config::Issuer;
use postern_access::snapshot::{Introspection, TokenFeed, Until};
use sqlx::AnyConnection;

use super::Position;
use crate::db::change::{self, Kind, Stamp};
use crate::db::revocation;

/// How many revocations one document carries at most: about 3 MB of JSON, which a gateway reads without a stall.
pub const MOST_REVOCATIONS: usize = 50_000;

/// What holds for the whole document.
pub struct Moment<'a> {
    /// The prefix of versions.
    pub lineage: &'a str,
    /// The newest change that may be told.
    pub current: Stamp,
    /// Every issuer with its keys, at least as new as `current`.
    pub issuers: Vec<Issuer>,
    /// Which tokens the gateways ask for; told with the issuers.
    pub introspection: Introspection,
    /// The time.
    pub now_ms: i64,
}

impl Moment<'_> {
    /// What changed after a position; without one, or where that cannot be told, everything from the beginning.
    pub async fn document(
        self,
        read: &mut AnyConnection,
        after: Option<Position>,
        most: usize,
    ) -> sqlx::Result<TokenFeed> {
        let (since, issuers) = match after {
            None => (None, true),
            Some(after) => match self.continuation(read, after).await? {
                Continuation::Impossible => (None, true),
                Continuation::WithKeys => (Some(after), true),
                Continuation::WithoutKeys => (Some(after), false),
            },
        };
        let told = since.map_or(0, |since| since.number);
        let one_too_many = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        // Not only up to `current`: what was written since then may stand in the place of what it replaced, as the tokens
        // of a client do that is registered again. It will be told once more, which does no harm.
        let mut revocations = revocation::living_after(read, told, self.now_ms, one_too_many).await?;
        let cut = revocations.len() > most;
        revocations.truncate(most);
        let last = revocations.last().map_or(told, |last| last.number);
        let more = cut && last < self.current.number;
        let position = Position {
            number: if more { last } else { self.current.number },
            seen: self.current,
        };
        let mut document = TokenFeed {
            version: position.version(self.lineage),
            since: since.map(|since| since.version(self.lineage)),
            more,
            issuers: issuers.then_some(self.issuers),
            introspection: issuers.then_some(self.introspection),
            ..TokenFeed::default()
        };
        for revocation in revocations {
            let until = until(revocation.expires_at_ms);
            if revocation.of_client == 0 {
                document.revoked_tokens.push((revocation.subject, until));
            } else {
                let at = seconds(revocation.at_ms);
                document.revoked_clients.push((revocation.subject, at, until));
            }
        }
        Ok(document)
    }

    async fn continuation(&self, read: &mut AnyConnection, after: Position) -> sqlx::Result<Continuation> {
        let kinds = change::kinds(read, after.seen.number, self.current.number).await?;
        // Asked for last: old changes are forgotten from time to time, also between these two statements.
        let known = change::knows(read, after.seen).await?;
        Ok(match () {
            () if !known || kinds.contains(&Kind::ClientReplaced) => Continuation::Impossible,
            () if kinds.contains(&Kind::KeysChanged) || kinds.contains(&Kind::ImportsChanged) => Continuation::WithKeys,
            () => Continuation::WithoutKeys,
        })
    }
}

/// How what followed on a position can be told.
enum Continuation {
    /// Not as a delta: too long ago, of a past that a restored backup took back, or a revocation has to be taken back.
    Impossible,
    WithKeys,
    WithoutKeys,
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or_default()
}

/// Rounded up: an entry outlives its token rather than the other way round.
fn until(expires_at_ms: Option<i64>) -> Until {
    expires_at_ms.map(|ms| seconds(ms.saturating_add(999)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::db::{Database, Location};

    const NOW_MS: i64 = 1_000_000;

    /// A database in which `count` tokens are revoked (`t1`, `t2`, …); every tenth has expired at [`NOW_MS`].
    async fn database(folder: &tempfile::TempDir, count: i64) -> Database {
        let database = Database::open(&Location::Sqlite(folder.path().join("auth.db")))
            .await
            .unwrap();
        let mut write = database.write().await.unwrap();
        sqlx::query(
            "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < $1) \
             INSERT INTO change (kind, subject, at_ms, expires_at_ms) \
             SELECT 'token_revoked', 't' || n, $2, CASE WHEN n % 10 = 0 THEN $2 ELSE NULL END FROM series",
        )
        .bind(count)
        .bind(NOW_MS)
        .execute(&mut *write)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO revoked_token (token_id, expires_at_ms, number) \
             SELECT subject, expires_at_ms, number FROM change",
        )
        .execute(&mut *write)
        .await
        .unwrap();
        write.commit().await.unwrap();
        database
    }

    async fn told(database: &Database, after: Option<&TokenFeed>, most: usize) -> TokenFeed {
        let mut read = database.read().await.unwrap();
        let current = change::newest(&mut read).await.unwrap();
        let moment = Moment {
            lineage: "ab",
            current,
            issuers: Vec::new(),
            introspection: Introspection::default(),
            now_ms: NOW_MS,
        };
        let after = after.map(|document| Position::read(&document.version, "ab").unwrap());
        moment.document(&mut read, after, most).await.unwrap()
    }

    fn ids(documents: &[TokenFeed]) -> Vec<String> {
        let tokens = documents.iter().flat_map(|document| &document.revoked_tokens);
        tokens.map(|(id, _)| id.clone()).collect()
    }

    #[tokio::test]
    async fn many_revocations_come_in_parts_and_none_is_missed_or_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder, 120_000).await;
        let mut parts = vec![told(&database, None, MOST_REVOCATIONS).await];
        while let Some(last) = parts.last().filter(|part| part.more) {
            parts.push(told(&database, Some(last), MOST_REVOCATIONS).await);
        }
        let sizes: Vec<usize> = parts.iter().map(|part| part.revoked_tokens.len()).collect();
        assert_eq!(sizes, [50_000, 50_000, 8_000]);
        assert!(parts[0].since.is_none() && parts[0].issuers.is_some());
        for (earlier, later) in parts.iter().zip(&parts[1..]) {
            assert_eq!(later.since.as_ref(), Some(&earlier.version));
            assert!(later.issuers.is_none());
        }
        assert!(parts[2].version.starts_with("ab-120000-"));
        let distinct: BTreeSet<String> = ids(&parts).into_iter().collect();
        assert_eq!(distinct.len(), 108_000);
    }

    #[tokio::test]
    async fn what_happens_between_two_parts_is_told_by_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder, 8).await;
        let first = told(&database, None, 3).await;
        assert_eq!(
            (ids(std::slice::from_ref(&first)).join(" "), first.more),
            ("t1 t2 t3".into(), true)
        );

        let mut write = database.write().await.unwrap();
        revocation::insert_token(&mut write, "new", NOW_MS, None).await.unwrap();
        revocation::insert_client(&mut write, "client", NOW_MS, None)
            .await
            .unwrap();
        change::append(&mut write, Kind::KeysChanged, "spring", NOW_MS, None)
            .await
            .unwrap();
        // Expired and forgotten meanwhile, the last one told among them.
        sqlx::query("DELETE FROM revoked_token WHERE token_id IN ('t3', 't5')")
            .execute(&mut *write)
            .await
            .unwrap();
        write.commit().await.unwrap();

        let second = told(&database, Some(&first), 3).await;
        assert_eq!(ids(std::slice::from_ref(&second)), ["t4", "t6", "t7"]);
        assert!(second.more && second.issuers.is_some());
        let third = told(&database, Some(&second), 3).await;
        assert_eq!(ids(std::slice::from_ref(&third)), ["t8", "new"]);
        assert_eq!(third.revoked_clients, [("client".to_owned(), 1000, None)]);
        assert!(!third.more && third.issuers.is_none());
        assert!(third.version.starts_with("ab-11-"));
        let nothing = told(&database, Some(&third), 3).await;
        assert_eq!((nothing.version, nothing.more), (third.version, false));
    }

    #[tokio::test]
    async fn a_client_registered_again_before_the_first_part_does_not_start_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder, 4).await;
        let mut write = database.write().await.unwrap();
        change::append(&mut write, Kind::ClientReplaced, "c", NOW_MS, None)
            .await
            .unwrap();
        write.commit().await.unwrap();
        let first = told(&database, None, 3).await;
        let second = told(&database, Some(&first), 3).await;
        assert_eq!((second.since.as_ref(), second.more), (Some(&first.version), false));

        let mut write = database.write().await.unwrap();
        change::append(&mut write, Kind::ClientReplaced, "c", NOW_MS, None)
            .await
            .unwrap();
        write.commit().await.unwrap();
        assert!(told(&database, Some(&first), 3).await.since.is_none());
    }

    #[tokio::test]
    async fn the_last_change_is_no_part_of_more() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder, 3).await;
        let whole = told(&database, None, 3).await;
        assert!(whole.version.starts_with("ab-3-") && !whole.more);
    }
}
