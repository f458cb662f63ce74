-- Words in braces differ between SQLite and PostgreSQL (see the two drivers).

-- What the platforms delivered: accepted once, worked off in the order of `position`.
CREATE TABLE inbox (
  id {serial},
  platform TEXT NOT NULL,
  workspace TEXT NOT NULL,
  channel TEXT NOT NULL,
  message TEXT NOT NULL,
  kind TEXT NOT NULL,                 -- post, edit, delete, command
  version TEXT NOT NULL DEFAULT '',
  client_id TEXT,
  lane TEXT NOT NULL,                 -- what is worked off one by one: a conversation, or its commands
  position BIGINT NOT NULL,
  payload TEXT NOT NULL,              -- core.messages.Event as JSON; emptied when done
  state TEXT NOT NULL,                -- queued, taken, done
  turn TEXT,
  received_at DOUBLE PRECISION NOT NULL,
  UNIQUE (platform, workspace, channel, message, kind, version)
);
CREATE UNIQUE INDEX inbox_client ON inbox (platform, workspace, client_id) WHERE client_id IS NOT NULL;
CREATE INDEX inbox_open ON inbox (lane, position) WHERE state <> 'done';
CREATE INDEX inbox_age ON inbox (received_at);

CREATE TABLE conversations (
  id TEXT PRIMARY KEY,
  platform TEXT NOT NULL,
  workspace TEXT NOT NULL,
  channel TEXT NOT NULL,
  window_start BIGINT NOT NULL DEFAULT 0,   -- messages before it are not given to the model
  is_backfilled INTEGER NOT NULL DEFAULT 0,
  created_at DOUBLE PRECISION NOT NULL
);

-- Who works on a lane; used where several processes share the database.
CREATE TABLE leases (
  lane TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  fence BIGINT NOT NULL,
  expires_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX leases_owner ON leases (owner);

-- The history: append-only. An edit is a new version, a deletion is a version that says so.
CREATE TABLE messages (
  conversation TEXT NOT NULL,
  seq BIGINT NOT NULL,
  version INTEGER NOT NULL,
  platform_id TEXT,
  role TEXT NOT NULL,
  author_id TEXT NOT NULL DEFAULT '',
  author_name TEXT NOT NULL DEFAULT '',
  content TEXT NOT NULL,
  parent BIGINT NOT NULL,             -- the seq this one follows; 0 for the first
  turn TEXT,
  is_deleted INTEGER NOT NULL DEFAULT 0,
  created_at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (conversation, seq, version)
) {clustered};
CREATE INDEX messages_platform ON messages (platform_id, conversation) WHERE platform_id IS NOT NULL;

CREATE VIEW current_messages AS
SELECT m.* FROM messages m
WHERE m.version = (
  SELECT max(n.version) FROM messages n WHERE n.conversation = m.conversation AND n.seq = m.seq
);

-- Images of a message, kept since the platforms' addresses expire.
CREATE TABLE images (
  conversation TEXT NOT NULL,
  seq BIGINT NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  data TEXT NOT NULL,                 -- base64
  PRIMARY KEY (conversation, seq, position)
);

-- One answer to one or more queued messages.
CREATE TABLE turns (
  id TEXT PRIMARY KEY,
  lane TEXT NOT NULL,
  conversation TEXT NOT NULL,
  state TEXT NOT NULL,                -- running, finished (its text is complete), done
  outcome TEXT NOT NULL DEFAULT '',   -- answered, refused, failed, stopped, withdrawn
  attempt INTEGER NOT NULL,
  fence BIGINT NOT NULL,
  target TEXT NOT NULL,               -- core.adapter.Target as JSON
  question BIGINT NOT NULL DEFAULT 0, -- seq of the newest question
  text TEXT NOT NULL DEFAULT '',
  reply TEXT NOT NULL DEFAULT '',     -- what the model is billed for, as JSON
  created_at DOUBLE PRECISION NOT NULL,
  updated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX turns_open ON turns (lane) WHERE state <> 'done';
CREATE INDEX turns_conversation ON turns (conversation, question);

-- One row for each platform message of an answer, written before the first post of it.
CREATE TABLE outbox (
  turn TEXT NOT NULL,
  part INTEGER NOT NULL,
  conversation TEXT NOT NULL,
  message TEXT,                       -- the platform's id, once known
  state TEXT NOT NULL,                -- intent, sent, confirmed, withdrawn
  attempted_at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (turn, part)
) {clustered};
CREATE INDEX outbox_message ON outbox (message, conversation) WHERE message IS NOT NULL;

CREATE TABLE verdicts (
  id {serial},
  subject TEXT NOT NULL,              -- "in <conversation> <platform id> <version>" or "out <turn>"
  direction TEXT NOT NULL,            -- in, out
  decision TEXT NOT NULL,
  verdict TEXT NOT NULL,              -- core.moderation.Verdict as JSON
  at DOUBLE PRECISION NOT NULL
);
CREATE INDEX verdicts_subject ON verdicts (subject);

-- What people with permission changed in chat.
CREATE TABLE settings (
  scope TEXT NOT NULL,                -- "<platform>:<workspace>" or "<platform>:<workspace>:<channel>"
  name TEXT NOT NULL,
  value TEXT NOT NULL,                -- JSON
  set_by TEXT NOT NULL,
  set_at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (scope, name)
);

-- One row for each model call that was billed.
CREATE TABLE usage (
  turn TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  day TEXT NOT NULL,                  -- UTC, YYYY-MM-DD
  platform TEXT NOT NULL,
  workspace TEXT NOT NULL,
  channel TEXT NOT NULL,
  author TEXT NOT NULL,
  model TEXT NOT NULL,
  prompt_tokens BIGINT NOT NULL,
  cached_tokens BIGINT NOT NULL,
  completion_tokens BIGINT NOT NULL,
  cost DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (turn, attempt)
);
CREATE INDEX usage_author ON usage (platform, author, day);
CREATE INDEX usage_day ON usage (platform, workspace, day);

CREATE TABLE feedback (
  turn TEXT NOT NULL,
  author TEXT NOT NULL,
  value TEXT NOT NULL,
  at DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (turn, author)
);

-- Small state of adapters and counters: a gateway session, a hash, a calibration.
CREATE TABLE memory (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
