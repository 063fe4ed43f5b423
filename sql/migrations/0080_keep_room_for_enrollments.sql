-- People who come together stand together on the pages, and get their messages in the same transaction: a page needs room
-- for a second version of each of its rows, or they move to others and get new entries in three indexes.
ALTER TABLE campaign_enrollments SET (fillfactor = 45);
