-- Layers that an engine writes by itself are sealed without a diff id: a further state. A CHECK cannot be changed in place, so
-- the table is made anew, as sqlite.org/lang_altertable.html (section 7) has it, with foreign keys off meanwhile.
CREATE TABLE new_layers (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),
    parent TEXT REFERENCES layers (id),
    diff_id TEXT,
    chain_id TEXT,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    packed_digest TEXT,
    packed_size INTEGER,
    state TEXT NOT NULL CHECK (state IN ('staging', 'writable', 'view', 'committed', 'sealed', 'deleting', 'damaged')),
    lease TEXT,
    created INTEGER NOT NULL,
    CHECK (state <> 'committed' OR (diff_id IS NOT NULL AND chain_id IS NOT NULL)),
    CHECK (state NOT IN ('staging', 'deleting') OR parent IS NULL)
) STRICT;
INSERT INTO new_layers (rowid, id, parent, diff_id, chain_id, size_bytes, inodes, packed_digest, packed_size, state, lease, created)
    SELECT rowid, id, parent, diff_id, chain_id, size_bytes, inodes, packed_digest, packed_size, state, lease, created FROM layers;
DROP TABLE layers;
ALTER TABLE new_layers RENAME TO layers;
CREATE UNIQUE INDEX layers_by_chain ON layers (chain_id) WHERE state IN ('staging', 'committed');
CREATE INDEX layers_by_parent ON layers (parent);
CREATE INDEX layers_by_state ON layers (state) WHERE state IN ('staging', 'deleting');

-- Snapshots of a container engine: names, kinds and labels over layers. Several may have one layer: views, and committed ones
-- of other namespaces with the same tree. `labels` is a JSON object of texts.
CREATE TABLE snapshots (
    key TEXT PRIMARY KEY NOT NULL,
    parent TEXT REFERENCES snapshots (key),
    kind TEXT NOT NULL CHECK (kind IN ('active', 'view', 'committed')),
    layer TEXT NOT NULL REFERENCES layers (id),
    labels TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots (parent);
CREATE INDEX snapshots_by_layer ON snapshots (layer);
