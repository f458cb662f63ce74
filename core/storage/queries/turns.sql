-- name: begin
INSERT INTO turns (id, lane, conversation, state, attempt, fence, target, question,
                   created_at, updated_at)
VALUES (:id, :lane, :conversation, 'running', 1, :fence, :target, 0, :now, :now)
ON CONFLICT (id) DO UPDATE
SET attempt = turns.attempt + 1, fence = excluded.fence, updated_at = excluded.updated_at
WHERE turns.state <> 'done' AND turns.fence <= excluded.fence
RETURNING attempt

-- name: set_question
UPDATE turns SET question = :question WHERE id = :id

-- name: finish_text
UPDATE turns SET state = 'finished', text = :text, reply = :reply, outcome = :outcome,
                 updated_at = :now
WHERE id = :id AND fence = :fence AND state <> 'done'
RETURNING id

-- name: complete
-- what was said is in the history from now on
UPDATE turns SET state = 'done', outcome = :outcome, text = '', reply = '', updated_at = :now
WHERE id = :id AND fence = :fence AND state <> 'done'
RETURNING id

-- name: open_turns
SELECT id, state, attempt, target, question, text, reply, outcome, created_at
FROM turns WHERE lane = :lane AND state <> 'done'
ORDER BY created_at, id

-- name: get
SELECT id, lane, conversation, state, outcome, attempt, target, question, text, created_at
FROM turns WHERE id = :id

-- name: answers_to
-- the turn of the message, and those that wrote its answer anew
SELECT t.id, t.target FROM turns t
WHERE t.id IN (
  SELECT asked.id FROM turns asked JOIN inbox i ON i.turn = asked.id
  WHERE i.platform = :platform AND i.workspace = :workspace AND i.channel = :channel
    AND i.message = :message AND i.kind = 'post'
  UNION
  SELECT again.id FROM turns again
  JOIN turns asked ON again.conversation = asked.conversation AND again.question = asked.question
  JOIN inbox i ON i.turn = asked.id
  WHERE i.platform = :platform AND i.workspace = :workspace AND i.channel = :channel
    AND i.message = :message AND i.kind = 'post' AND asked.question > 0
)
ORDER BY t.created_at, t.id

-- name: set_outcome
UPDATE turns SET outcome = :outcome, updated_at = :now WHERE id = :id
