-- name: record
INSERT INTO usage (turn, attempt, at, day, platform, workspace, channel, author, model,
                   prompt_tokens, cached_tokens, completion_tokens, cost)
VALUES (:turn, :attempt, :at, :day, :platform, :workspace, :channel, :author, :model,
        :prompt_tokens, :cached_tokens, :completion_tokens, :cost)
ON CONFLICT (turn, attempt) DO NOTHING
RETURNING turn

-- name: of_author
SELECT CAST(coalesce(sum(prompt_tokens), 0) AS BIGINT) AS prompt_tokens,
       CAST(coalesce(sum(cached_tokens), 0) AS BIGINT) AS cached_tokens,
       CAST(coalesce(sum(completion_tokens), 0) AS BIGINT) AS completion_tokens,
       coalesce(sum(cost), 0.0) AS cost, count(*) AS calls
FROM usage
WHERE platform = :platform AND author = :author AND day BETWEEN :since AND :day

-- name: of_channel
SELECT CAST(coalesce(sum(prompt_tokens), 0) AS BIGINT) AS prompt_tokens,
       CAST(coalesce(sum(cached_tokens), 0) AS BIGINT) AS cached_tokens,
       CAST(coalesce(sum(completion_tokens), 0) AS BIGINT) AS completion_tokens,
       coalesce(sum(cost), 0.0) AS cost, count(*) AS calls
FROM usage
WHERE platform = :platform AND workspace = :workspace AND channel = :channel
  AND day BETWEEN :since AND :day

-- name: of_workspace
SELECT CAST(coalesce(sum(prompt_tokens), 0) AS BIGINT) AS prompt_tokens,
       CAST(coalesce(sum(cached_tokens), 0) AS BIGINT) AS cached_tokens,
       CAST(coalesce(sum(completion_tokens), 0) AS BIGINT) AS completion_tokens,
       coalesce(sum(cost), 0.0) AS cost, count(*) AS calls
FROM usage
WHERE platform = :platform AND workspace = :workspace AND day BETWEEN :since AND :day

-- name: by_workspace
SELECT workspace, CAST(sum(prompt_tokens) AS BIGINT) AS prompt_tokens,
       CAST(sum(cached_tokens) AS BIGINT) AS cached_tokens,
       CAST(sum(completion_tokens) AS BIGINT) AS completion_tokens,
       sum(cost) AS cost, count(*) AS calls
FROM usage
WHERE platform = :platform AND day BETWEEN :since AND :day
GROUP BY workspace
