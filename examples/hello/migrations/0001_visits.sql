-- One row that counts. Meridian applies each file once, on the primary.
create table visits (
  one   boolean primary key default true check (one),
  total bigint  not null default 0
);

insert into visits default values;
