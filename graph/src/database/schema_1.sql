CREATE TABLE settings (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `sequence` gives the leases an order; imports wait only for those before their own, so they never wait in a circle.
CREATE TABLE leases (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    pid INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- A row is there before the driver makes anything, and goes after the driver removed everything.
-- `parent` is set with the commit: a layer in staging may yet see its parent made anew under another id.
-- `lease` names who works on a layer in staging or deleting; it may outlive the lease, and is then anybody's.
CREATE TABLE layers (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 32),
    parent TEXT REFERENCES layers (id),
    diff_id TEXT,
    chain_id TEXT,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    packed_digest TEXT,
    packed_size INTEGER,
    state TEXT NOT NULL CHECK (state IN ('staging', 'writable', 'view', 'committed', 'deleting', 'damaged')),
    lease TEXT,
    created INTEGER NOT NULL,
    CHECK (state <> 'committed' OR (diff_id IS NOT NULL AND chain_id IS NOT NULL)),
    CHECK (state NOT IN ('staging', 'deleting') OR parent IS NULL)
) STRICT;
CREATE UNIQUE INDEX layers_by_chain ON layers (chain_id) WHERE state IN ('staging', 'committed');
CREATE INDEX layers_by_parent ON layers (parent);
CREATE INDEX layers_by_state ON layers (state) WHERE state IN ('staging', 'deleting');

-- Layers that a live lease needs.
CREATE TABLE lease_layers (
    lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    layer TEXT NOT NULL REFERENCES layers (id) ON DELETE CASCADE,
    PRIMARY KEY (lease, layer)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_layers_by_layer ON lease_layers (layer);

-- Layers made by hand.
CREATE TABLE pins (
    layer TEXT PRIMARY KEY NOT NULL REFERENCES layers (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
    id TEXT PRIMARY KEY NOT NULL,
    manifest_digest TEXT NOT NULL,
    manifest BLOB NOT NULL,
    manifest_media_type TEXT NOT NULL,
    config BLOB NOT NULL,
    top_layer TEXT REFERENCES layers (id),
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE image_layers (
    image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    layer TEXT NOT NULL REFERENCES layers (id),
    PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers (layer);

CREATE TABLE names (
    reference TEXT PRIMARY KEY NOT NULL,
    image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_image ON names (image);

CREATE TABLE containers (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    image TEXT REFERENCES images (id),
    layer TEXT NOT NULL REFERENCES layers (id),
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX containers_by_image ON containers (image);
CREATE INDEX containers_by_layer ON containers (layer);

-- `lease` is set while the mount is being made or taken down. Paths need not be UTF-8.
CREATE TABLE mounts (
    target BLOB PRIMARY KEY NOT NULL,
    layer TEXT NOT NULL REFERENCES layers (id),
    boot_id TEXT NOT NULL,
    read_only INTEGER NOT NULL,
    lease TEXT,
    held INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX mounts_by_layer ON mounts (layer);
