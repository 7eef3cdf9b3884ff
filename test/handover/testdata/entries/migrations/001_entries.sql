create table entries (id bigint not null);
create index on entries (id);
