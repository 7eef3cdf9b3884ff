-- Applied once, on the primary, as the application's role.
--
-- Names are compared without regard to case by indexes on lower(...), so that
-- no extension is needed. Timestamps have the resolution that the API shows.

create table users (
  id            bigint generated always as identity primary key,
  username      text not null,
  email         text not null,
  password_hash text not null,
  bio           text,
  image         text,
  created_at    timestamptz(3) not null default now()
);
create unique index users_username_key on users (lower(username));
create unique index users_email_key    on users (lower(email));

create table follows (
  follower_id bigint not null references users on delete cascade,
  followed_id bigint not null references users on delete cascade,
  primary key (follower_id, followed_id)
);
create index follows_followed on follows (followed_id);

create table articles (
  id          bigint generated always as identity primary key,
  author_id   bigint not null references users on delete cascade,
  slug        text not null constraint articles_slug_key unique,
  title       text not null,
  description text not null,
  body        text not null,
  tags        text[] not null default '{}',
  created_at  timestamptz(3) not null default now(),
  updated_at  timestamptz(3) not null default now()
);
create index articles_by_author on articles (author_id, id desc);
create index articles_by_tag    on articles using gin (tags);

create table favorites (
  article_id bigint not null references articles on delete cascade,
  user_id    bigint not null references users on delete cascade,
  primary key (article_id, user_id)
);
create index favorites_by_user on favorites (user_id, article_id);

create table comments (
  id         bigint generated always as identity primary key,
  article_id bigint not null references articles on delete cascade,
  author_id  bigint not null references users on delete cascade,
  body       text not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);
create index comments_by_article on comments (article_id, id desc);
create index comments_by_author  on comments (author_id);
