-- Up Migration
-- Receipts of signings. A front computes the proof from the tree, which holds nothing but hashes; the entry and what opens it
-- a worker gives, to whom it belongs.

insert into audit.event_type (ev, name) values
  (131, 'receipt.given');

grant select on audit.tile, audit.checkpoint to paraph_front;

-- Down Migration
