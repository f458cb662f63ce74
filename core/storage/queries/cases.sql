-- name: open
INSERT INTO cases (id, subject, direction, platform, workspace, author_id, review, file, event,
                   state, created_at)
VALUES (:id, :subject, :direction, :platform, :workspace, :author_id, :review, :file, :event,
        :state, :now)
ON CONFLICT (id) DO UPDATE
SET state = CASE WHEN cases.state = 'quiet' THEN excluded.state ELSE cases.state END,
    review = excluded.review, file = excluded.file,
    event = CASE WHEN excluded.event = '' THEN cases.event ELSE excluded.event END
WHERE cases.decision = ''

-- name: get
SELECT id, subject, direction, platform, workspace, author_id, review, file, event, state,
       decision, earlier, decided_by, decided_name, decided_at, appealed_at, created_at
FROM cases WHERE id = :id

-- name: lock
-- until the end of the transaction, so that an alert and a decision see each other
UPDATE cases SET review = review WHERE id = :id
RETURNING id

-- name: raise
UPDATE cases SET state = 'open' WHERE id = :id AND state = 'quiet'

-- name: decide
UPDATE cases SET state = 'decided', decision = :decision, decided_by = :by, decided_name = :name,
                 decided_at = :now
WHERE id = :id AND decision = ''
RETURNING id

-- name: appeal
UPDATE cases SET state = 'appealed', earlier = decision, decision = '', appealed_at = :now
WHERE id = :id AND appealed_at = 0
RETURNING id

-- name: released
UPDATE cases SET event = '' WHERE id = :id

-- name: waiting
SELECT id, platform, workspace, file, state, created_at FROM cases
WHERE state = 'open' OR state = 'appealed'
ORDER BY created_at, id LIMIT :most

-- name: before
-- what stood before a message, newest first
SELECT author_name, role, content, platform_id FROM current_messages
WHERE conversation = :conversation AND is_deleted = 0 AND seq < :seq
ORDER BY seq DESC LIMIT :most

-- name: label
INSERT INTO labels (case_id, platform, workspace, text, category, scores, is_violation, at)
VALUES (:case_id, :platform, :workspace, :text, :category, :scores, :is_violation, :now)

-- name: labels
SELECT id, case_id, platform, workspace, text, category, scores, is_violation, at
FROM labels WHERE id > :after ORDER BY id LIMIT :most

-- name: deletion
SELECT id FROM inbox
WHERE platform = :platform AND workspace = :workspace AND channel = :channel
  AND message = :message AND kind = 'delete'
LIMIT 1

-- name: newest_labels
SELECT case_id, category, scores, is_violation FROM labels ORDER BY at DESC, id DESC LIMIT :most
