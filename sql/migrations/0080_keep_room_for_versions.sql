-- People who come together stand together on the pages, and are written in the same transaction. So a page needs room for
-- a second version of each of its rows: without it, enrollments move to other pages and get new entries in three indexes,
-- and states are spread over pages that are looked for and written anew.
ALTER TABLE campaign_enrollments SET (fillfactor = 45);
ALTER TABLE campaign_workflow_states SET (fillfactor = 45);
