create table pairs (id bigint primary key, v bigint not null);
